"""Notice that another process has ended without a word, while the first one waits for all of them outside a collective operation.

Each of the others keeps a connection to the first process open for as long as it lives; when it ends, whatever has ended it,
its system closes the connection. The first process looks at the connections whenever it waits. A machine that loses its
power closes nothing: there, the system of the first process asks from time to time whether the other one still answers.
"""

import platform
import secrets
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from trainctl.errors import ProcessError
from trainctl.wording import listed

if TYPE_CHECKING:
    from trainctl.machine.link import Link

LEAST = 60.0  # for the others to start, however short distributed.timeout is [s]
REACHING = 10.0  # to connect to the first process [s]
LARGEST = 4096  # bytes of a greeting
KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}  # two minutes in all [s]
EVIDENCE = 1.0  # after a process has ended, for its reason to arrive [s]


class Presence:
    """The connections of the other processes to the first one.

    Args:
        link: The store, through which the others learn where to connect.
    """

    def __init__(self, link: "Link") -> None:
        self.link, self.began, self.token = link, time.monotonic(), secrets.token_hex(16)
        self.server = _server(local=link.is_local, size=link.place.size)
        self.server.setblocking(False)
        self.unknown: list[socket.socket] = []
        self.known: dict[int, tuple[str, socket.socket]] = {}
        link.publish("presence", [self.server.getsockname()[1], self.token])

    def check(self) -> None:
        """Check that all other processes have come, and that none has ended.

        Raises:
            ProcessError: If one has ended; with its reason, if it has published one.
        """
        if gone := self.gone():
            found = self.link.failure(EVIDENCE)
            if found.known:
                raise found
            have = "have" if len(gone) > 1 else "has"
            raise ProcessError(f"{listed(gone)} {have} ended without a message, before training", known=False)
        waited = time.monotonic() - self.began
        limit = max(LEAST, self.link.timeout)
        if waited > limit and (missing := self._missing()):
            are, have = ("processes", "have") if len(missing) > 1 else ("process", "has")
            raise ProcessError(f"{are} {listed(missing)} {have} not started within {limit:g} s", known=False)

    def gone(self) -> list[str]:
        """Return the processes that have ended, in words."""
        return [f"process {rank} on {self.known[rank][0]}" for rank in self.ended()]

    def ended(self) -> list[int]:
        """Return the ranks of the processes that have ended."""
        with suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                _keep_alive(connection)
                connection.setblocking(False)
                self.unknown.append(connection)
        self.unknown = [each for each in self.unknown if not self._greeted(each)]
        return [rank for rank, (_, connection) in sorted(self.known.items()) if _has_ended(connection)]

    def _greeted(self, connection: socket.socket) -> bool:
        """Read who has connected; return False if it has not said so yet."""
        try:
            content = connection.recv(LARGEST)
        except BlockingIOError:
            return False
        except OSError:
            content = b""
        with suppress(ValueError):  # also of what is no text
            token, rank, host = content.decode().split(" ", 2)
            if secrets.compare_digest(token.encode(), self.token.encode()):
                self.known[int(rank)] = host, connection
                return True
        connection.close()  # something else that looks for open ports
        return True

    def _missing(self) -> list[str]:
        """Return the ranks of those that have not even reached the store."""
        return [str(rank) for rank in range(1, self.link.place.size) if self.link.published(f"here/{rank}") is None]


def attend(link: "Link") -> socket.socket | None:
    """Tell the first process that this one has started, and return the connection to keep open; None if there is none."""
    host = platform.node()
    link.publish(f"here/{link.place.rank}", host)
    found = link.wait_for("presence", "end")
    if not isinstance(found, list):
        return None
    try:
        connection = socket.create_connection((link.place.address, found[0]), REACHING)
        connection.sendall(f"{found[1]} {link.place.rank} {host}".encode())
    except OSError:
        return None  # a firewall: this process is missed in the first collective operation only
    return connection


def _server(*, local: bool, size: int) -> socket.socket:
    if local:
        return socket.create_server(("127.0.0.1", 0), backlog=size)
    with suppress(OSError):
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", 0), family=socket.AF_INET6, backlog=size, dualstack_ipv6=True)
    return socket.create_server(("", 0), backlog=size)


def _keep_alive(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEP_ALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
