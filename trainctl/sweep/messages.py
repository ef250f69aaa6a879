"""What the processes of a sweep send each other: JSON objects, one per line, over a socket. Imports no torch."""

import json
import selectors
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from trainctl.errors import UnavailableError
from trainctl.fileformat.boundary import reading

Message = dict[str, Any]
PORTION = 1 << 16


class Channel:
    """One end of a socket.

    Args:
        connection: The socket, which the channel owns.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.open = connection, True
        self._rest, self._unread = b"", list[Message]()

    def fileno(self) -> int:
        """Return the socket's descriptor, so that a selector can wait for it."""
        return self.connection.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; if the other end has ended, it is lost."""
        with suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def received(self) -> list[Message]:
        """Return the messages that have arrived; waits if there are none, and notes whether the other end has ended."""
        if not self._unread:
            try:
                portion = self.connection.recv(PORTION)
            except OSError:
                portion = b""
            self.open = bool(portion)
            *lines, self._rest = (self._rest + portion).split(b"\n")
            with reading("a message of another process", UnavailableError):
                self._unread = [json.loads(line) for line in lines]
        messages, self._unread = self._unread, []
        return messages

    def wait(self) -> Message | None:
        """Return the next message; None if the other end has ended."""
        while self.open:
            if messages := self.received():
                self._unread = messages[1:]
                return messages[0]
        return None

    @property
    def ready(self) -> bool:
        """Return whether a message is here that was read and not yet returned."""
        return bool(self._unread)

    def close(self) -> None:
        """Close the socket."""
        self.open = False
        self.connection.close()


def wait_for(channels: Iterable[Channel], timeout: float) -> list[Channel]:
    """Return the channels that have something to read, after at most so many seconds."""
    channels = list(channels)
    if ready := [channel for channel in channels if channel.ready]:
        return ready
    with selectors.DefaultSelector() as selector:
        for channel in channels:
            selector.register(channel, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(timeout) if isinstance(key.fileobj, Channel)]
