"""The journal of a sweep: what any number of processes, on any number of machines, say about its trials. No torch.

::

    <sweep>/journal/<writer>.jsonl     events, one JSON object per line; each process writes a file of its own
    <sweep>/journal/<writer>.beat      a counter that shows that the process is alive
    <sweep>/lists/<number>.json        points; each file is created once
    <sweep>/claims/<trial>.<segment>   who runs a segment of a trial; each file is created once

Nobody writes to a file of another process, so a line that a kill tore is the last of its file. Two processes that want
the same name are separated by O_EXCL, which network file systems respect; nothing relies on flock, or on clocks that agree.
"""

import itertools
import json
import os
import threading
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from trainctl.errors import CheckpointError, StorageError
from trainctl.fileformat.at_most import read_at_most
from trainctl.fileformat.json_text import parse_json
from trainctl.machine import identity
from trainctl.store import directories, files, journal_base, runfile
from trainctl.store.journal_base import Event, Journal
from trainctl.store.records import require_list
from trainctl.store.runpath import MissingError, RunPath

FOLDERS = ("journal", "lists", "claims", "logs")
LARGEST = 2**28  # bytes of one file of events
LARGEST_CLAIM = 1000  # bytes


def prepare(home: RunPath) -> None:
    """Create the directories of a journal, where they do not exist."""
    for name in FOLDERS:
        directories.ensure_directory(home / name)


class Writer(journal_base.Writer):
    """One process's own part of a journal.

    Args:
        home: The sweep's directory.
        lease: How long the others wait for a sign of life [s].
    """

    def __init__(self, home: RunPath, lease: float) -> None:
        super().__init__(journal_base.new_name())
        self.path = home / "journal" / f"{self.name}.jsonl"
        self._beat, self._lease, self._count = home / "journal" / f"{self.name}.beat", lease, 0
        self._ended = threading.Event()
        self.append({"event": "hello", "identity": identity.of(os.getpid())})
        self._show_life()
        self._thread = threading.Thread(target=self._keep_showing, name="sweep's sign of life", daemon=True)
        self._thread.start()

    def append(self, event: Event, *, sync: bool = True) -> None:
        """Append an event; with ``sync``, it is on disk when this returns.

        Raises:
            StorageError: If it cannot be written.
        """
        line = json.dumps({**event, "time": round(time.time(), 3)}, allow_nan=False)
        files.append(self.path, f"{line}\n".encode())
        if sync:
            files.sync(self.path)

    def close(self) -> None:
        """Say that this process ended."""
        self._ended.set()
        self._thread.join()
        self.append({"event": "bye"})
        files.remove(self._beat)

    def _keep_showing(self) -> None:
        while not self._ended.wait(self._lease / 5):
            self._show_life()

    def _show_life(self) -> None:
        self._count += 1
        with suppress(StorageError):  # tried again soon; what the others conclude from a long silence is right
            files.write_bytes(self._beat, str(self._count).encode())


@dataclass
class Reader:
    """Reads what was added to a journal since the last look.

    Args:
        home: The sweep's directory.
    """

    home: RunPath
    _positions: dict[str, int] = field(default_factory=dict)
    _lists: int = 0

    def new_events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each new event with the name of its writer; events of one writer come in their order.

        A line that is damaged is skipped, and an unfinished last one is left for the next look.
        """
        for name in runfile.names(self.home / "journal"):
            writer, dot, suffix = name.rpartition(".")
            if not dot or suffix != "jsonl":
                continue
            path, start = self.home / "journal" / name, self._positions.get(writer, 0)
            with suppress(CheckpointError), runfile.reader(path) as file:
                file.seek(start)
                content = read_at_most(file, LARGEST)
                complete = content[: content.rfind(b"\n") + 1]
                self._positions[writer] = start + len(complete)
                for line in complete.splitlines():
                    if event := _event(line, name):
                        yield writer, event

    def claims(self) -> dict[str, int]:
        """Return the newest segment of each trial that is claimed, by the trial's key.

        Segments are claimed one after another, so a file after a gap is not ours: after ``0.999999999`` no other
        segment could be claimed.
        """
        claimed: dict[str, set[str]] = {}
        for name in runfile.names(self.home / "claims"):
            key, _, segment = name.rpartition(".")
            claimed.setdefault(key, set()).add(segment)
        newest = {key: _unbroken(segments) - 1 for key, segments in claimed.items()}
        return {key: segment for key, segment in newest.items() if segment >= 0}

    def claimant(self, key: str, segment: int) -> str:
        """Return the writer that claimed a segment; empty if the file is unreadable."""
        with suppress(CheckpointError):
            content = runfile.read_bytes(self.home / "claims" / f"{key}.{segment}", LARGEST_CLAIM)
            return content.decode("utf-8", errors="replace").strip()
        return ""

    def new_lists(self) -> Iterator[list[Any]]:
        """Yield the lists of points that were added since the last look, in order.

        Raises:
            CheckpointError: If one is damaged: without it, the numbers of points would shift.
        """
        while True:
            try:
                entries = require_list(self.home / "lists" / f"{self._lists:06d}.json", LARGEST)
            except MissingError:
                return
            self._lists += 1
            yield entries

    @property
    def next_list(self) -> int:
        """Return the number of the first list of points that was not there at the last look."""
        return self._lists


def claim(home: RunPath, key: str, segment: int, writer: journal_base.Writer) -> bool:
    """Try to be the one that runs a segment of a trial; return whether that succeeded."""
    return files.create(home / "claims" / f"{key}.{segment}", writer.name.encode())


def add_list(home: RunPath, number: int, content: Iterable[Any]) -> bool:
    """Try to create a list of points; return False if another process created the list of that number."""
    return files.create_whole(home / "lists" / f"{number:06d}.json", json.dumps(list(content)).encode())


@dataclass
class Liveness:
    """Judges which writers are alive, by this process's own clock.

    Args:
        home: The sweep's directory.
        lease: A writer whose counter has not changed for so long is dead [s].
    """

    home: RunPath
    lease: float
    _identities: dict[str, str] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _beats: dict[str, tuple[bytes, float]] = field(default_factory=dict)

    def note(self, writer: str, event: Event) -> None:
        """Take an event into account."""
        if event["event"] == "hello":
            self._identities[writer] = str(event.get("identity", ""))
        elif event["event"] == "bye":
            self._gone.add(writer)

    def alive(self, writer: str) -> bool:
        """Return whether a writer may still be running trials."""
        if writer in self._gone:
            return False
        if journal_base.gone(writer, self._identities.get(writer, "")):
            self._gone.add(writer)
            return False
        return self._shows_life(writer)

    def _shows_life(self, writer: str) -> bool:
        now = time.monotonic()
        count = b""
        with suppress(CheckpointError):
            count = runfile.read_bytes(self.home / "journal" / f"{writer}.beat", LARGEST_CLAIM)
        before, since = self._beats.get(writer, (b"", now))
        if count != before:
            since = now
        self._beats[writer] = (count, since)
        return now - since < self.lease


class DirectoryJournal(Journal):
    """A journal in the sweep's directory, which all machines share.

    Args:
        home: The sweep's directory.
        lease: A writer that shows no sign of life for so long is dead [s].
    """

    def __init__(self, home: RunPath, lease: float) -> None:
        super().__init__()
        self.home, self.lease = home, lease
        self.reader, self.liveness = Reader(home), Liveness(home, lease)

    def writer(self) -> Writer:
        """Begin a file of this process's own."""
        return Writer(self.home, self.lease)

    def new_lists(self) -> Iterator[list[Any]]:
        """Yield the new lists of points; see :meth:`Journal.new_lists`."""
        return self.reader.new_lists()

    @property
    def next_list(self) -> int:
        """Return the number of the first list of points that was not there at the last look."""
        return self.reader.next_list

    def add_list(self, number: int, content: Iterable[Any]) -> bool:
        """Try to create a list of points."""
        return add_list(self.home, number, content)

    def claims(self) -> dict[str, int]:
        """Return the newest segment of each trial that is claimed."""
        return self.reader.claims()

    def claim(self, key: str, segment: int, writer: journal_base.Writer) -> bool:
        """Try to be the one that runs a segment of a trial."""
        return claim(self.home, key, segment, writer)

    def claimant(self, key: str, segment: int) -> str:
        """Return the writer that claimed a segment; empty if the file is unreadable."""
        return self.reader.claimant(key, segment)

    def new_events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the new events."""
        for writer, event in self.reader.new_events():
            self.liveness.note(writer, event)
            yield writer, event

    def alive(self, writer: str) -> bool:
        """Return whether a writer may still be running trials."""
        return self.liveness.alive(writer)

    def close(self) -> None:
        """Release nothing: each look opens its files anew."""


def _unbroken(segments: Container[str]) -> int:
    """Return the first number that is missing.

    >>> _unbroken({"0", "1", "3", "02"})
    2
    """
    return next(number for number in itertools.count() if str(number) not in segments)


def _event(line: bytes, name: str) -> dict[str, Any] | None:
    with suppress(CheckpointError, UnicodeDecodeError):
        event = parse_json(line.decode("utf-8"), name, CheckpointError)
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            return event
    return None
