"""What every journal of a sweep does, wherever its bytes are: events, lists of points, claims, and signs of life. No torch.

:mod:`trainctl.store.journal` keeps them in the sweep's directory, :mod:`trainctl.store.journal_database` in a database.
"""

import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from trainctl.errors import StorageError
from trainctl.machine.identity import of as identity_of

Event = Mapping[str, Any]


class AwayError(StorageError):
    """Raised if a journal cannot be reached now and nobody wants to wait for it."""


class Writer(ABC):
    """One process's own part of a journal; it shows that the process is alive until it is closed.

    Args:
        name: Distinguishes it from all other writers.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def append(self, event: Event, *, sync: bool = True) -> None:
        """Append an event; with ``sync``, no loss of power can undo it when this returns.

        Raises:
            StorageError: If it cannot be written.
        """

    @abstractmethod
    def close(self) -> None:
        """Say that this process ended."""


class Journal(ABC):
    """What all processes of a sweep say about its trials, as one of them sees it.

    A look reads lists, then claims, then events; who claims after a look knows everything up to it.
    """

    def __init__(self) -> None:
        self.say: Callable[[str], None] = lambda text: None  # shows a line to the user
        self.hurried: Callable[[], bool] = lambda: False  # whether the user does not want to wait for it

    @abstractmethod
    def writer(self) -> Writer:
        """Begin this process's own part."""

    @abstractmethod
    def new_lists(self) -> Iterator[list[Any]]:
        """Yield the lists of points that were added since the last look, in order.

        Raises:
            CheckpointError: If one is damaged: without it, the numbers of points would shift.
        """

    @property
    @abstractmethod
    def next_list(self) -> int:
        """Return the number of the first list of points that was not there at the last look."""

    @abstractmethod
    def add_list(self, number: int, content: Iterable[Any]) -> bool:
        """Try to add a list of points; return False if another process added the list of that number."""

    @abstractmethod
    def claims(self) -> dict[str, int]:
        """Return the newest segment of each trial that is claimed, by the trial's key."""

    @abstractmethod
    def claim(self, key: str, segment: int, writer: Writer) -> bool:
        """Try to be the one that runs a segment of a trial; return whether that succeeded."""

    @abstractmethod
    def claimant(self, key: str, segment: int) -> str:
        """Return the name of the writer that claimed a segment; empty if unknown."""

    @abstractmethod
    def new_events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each new event with the name of its writer; events of one writer come in their order."""

    @abstractmethod
    def alive(self, writer: str) -> bool:
        """Return whether a writer may still be running trials."""

    def elsewhere(self) -> frozenset[str]:
        """Return the writers whose trials have their checkpoints on another machine, where a process of the sweep lives."""
        return frozenset()

    @abstractmethod
    def close(self) -> None:
        """Release what the journal holds; this process does not look at it any more."""

    def whereabouts(self, key: str, segment: int) -> str:
        """Return the directory of the writer that claimed a segment as ``host:path``; empty if it is that of this process."""
        return ""


def new_name() -> str:
    """Return a name for a writer, which no other one has."""
    return f"{socket.gethostname().split('.')[0] or 'host'}-{os.getpid()}-{secrets.token_hex(4)}"


def gone(writer: str, identity: str) -> bool:
    """Return whether a writer ran in this boot of this machine and container, and no longer does.

    Args:
        writer: Its name, which contains the number of its process.
        identity: What :func:`trainctl.machine.identity.of` said of that process.
    """
    before, _, ticks = identity.rpartition(" ")
    own = identity_of(os.getpid()).rpartition(" ")[0]
    if not before or before != own:
        return False
    pid = writer.rpartition("-")[0].rpartition("-")[2]
    return not pid.isdecimal() or identity_of(int(pid)) != f"{before} {ticks}"
