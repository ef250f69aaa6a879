"""A socket that listens, or a plain message why there is none. Imports no torch and no server library."""

import errno
import socket

from trainctl.errors import ConfigError, UnavailableError

BACKLOG = 256  # connections that wait to be accepted


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: If there is no such host.
        UnavailableError: If the port is in use, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host={host}: no such host; use 127.0.0.1, or 0.0.0.0 for all interfaces") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from error
    listener.setblocking(False)
    return listener


def _refused(host: str, port: int, error: OSError) -> UnavailableError | ConfigError:
    if error.errno == errno.EADDRINUSE:
        return UnavailableError(
            f"port={port}: already in use; stop the other server, or choose another port: port={port + 1}, or port=0 for any free one"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return UnavailableError(f"port={port}: not allowed for this user; choose one above 1023")
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"host={host}: not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all interfaces")
    return UnavailableError(f"host={host} port={port}: cannot listen: {error.strerror}")
