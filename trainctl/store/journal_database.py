"""The journal of a sweep in a database, for machines that share no file system. No torch.

The rows of the database have one order, and everything follows from it: of two lists with the same number, or two claims
of the same segment, the first counts. A claim also says how many rows its process had seen; if anything happened to the
trial since, it does not count.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any

from trainctl.errors import StorageError
from trainctl.machine import identity
from trainctl.settings import schema
from trainctl.store import journal_base
from trainctl.store.database import KEY, Database
from trainctl.store.journal_base import Event, Journal

LOOK = 1.0  # seconds between two looks at the database, unless this process has changed it
Count = Annotated[int, "[0, inf)"]
# What each kind of row has; rows that have something else are left out.
FIELDS: dict[str, dict[str, Any]] = {
    "sweep": {"record": Any},
    "list": {"number": Count, "entries": list[Any]},
    "claim": {"trial": str, "segment": Count, "seen": Count},
    "hello": {"identity": str, "place": str, "where": str},
}


class DatabaseWriter(journal_base.Writer):
    """One process's own part of a journal in a database: its rows, and its heartbeat.

    Args:
        journal: The journal.
    """

    def __init__(self, journal: "DatabaseJournal") -> None:
        super().__init__(journal_base.new_name())
        self.journal, self.database = journal, journal.database
        self._count, self._row = 0, -1
        self._ended = threading.Event()
        self.say_hello()
        self._thread = threading.Thread(target=self._keep_beating, name="sweep's heartbeat", daemon=True)
        self._thread.start()

    def say_hello(self) -> None:
        """Begin a row that stands for this process, also after the others have taken it for dead."""
        where = f"{self.name.rpartition('-')[0].rpartition('-')[0]}:{self.journal.directory}"
        event = {"event": "hello", "identity": identity.of(os.getpid()), "place": self.journal.place, "where": where}
        self._row = self.database.add(self._signed(event), lives=True)
        self.show_life()

    def show_life(self) -> None:
        """Record a heartbeat."""
        self.database.beat(self._row)

    def append(self, event: Event, *, sync: bool = True) -> None:
        """Append an event; it is on the server's disk when this returns.

        Raises:
            StorageError: If it cannot be written; AwayError if nobody waits for the database.
        """
        self.database.add(self._signed(event))
        self.journal.has_changed()

    def close(self) -> None:
        """Say that this process ended; if the database is away, the others notice by its heartbeat."""
        self._ended.set()
        self._thread.join(1)
        with suppress(StorageError):
            self.database.add(self._signed({"event": "bye"}), patient=False)
            self.journal.part_from(self)

    def _signed(self, event: Event) -> dict[str, Any]:
        signed = {**event, "writer": self.name, "count": self._count, "time": round(time.time(), 3)}
        json.dumps(signed, allow_nan=False)  # as in a file: numbers only
        self._count += 1
        return signed

    def _keep_beating(self) -> None:
        while not self._ended.wait(self.database.beat_every):
            self.show_life()


class DatabaseJournal(Journal):
    """A journal in a database.

    Args:
        database: The rows of the sweep.
        place: Identifies the sweep's directory of this process among those of all machines.
        directory: Its path.
    """

    def __init__(self, database: Database, place: str, directory: str) -> None:
        super().__init__()
        self.database, self.place, self.directory = database, place, directory
        self.record: Any = None
        database.say, database.hurried = self._say, self._is_hurried
        self._rows, self._told, self._looked = 0, 0, float("-inf")
        self._counts: dict[str, int] = {}
        self._lists: list[list[Any]] = []
        self._given = 0
        self._claims: dict[str, tuple[int, str]] = {}
        self._touched: dict[str, int] = {}
        self._fresh: list[tuple[str, dict[str, Any]]] = []
        self._hellos: dict[str, tuple[int, dict[str, Any]]] = {}
        self._running: set[str] = set()
        self._own: DatabaseWriter | None = None
        self._look()

    def found(self, record: Mapping[str, Any]) -> Any:
        """Record what the sweep is, unless another process has done so first; return the record that counts."""
        if self.record is None:
            name = journal_base.new_name()
            self.database.add({"event": "sweep", "record": dict(record), "writer": name, "count": 0})
            self._look()
        return self.record

    def writer(self) -> DatabaseWriter:
        """Begin this process's own part."""
        self._own = DatabaseWriter(self)
        self._look()
        return self._own

    def part_from(self, writer: DatabaseWriter) -> None:
        """Note that this process's own part has ended."""
        self._own = None
        if writer.name in self._hellos:
            self.database.end(self._hellos[writer.name][0], dead=False)

    def has_changed(self) -> None:
        """Let the next look read the database at once."""
        self._looked = float("-inf")

    def new_lists(self) -> Iterator[list[Any]]:
        """Look at the database, and yield the new lists of points."""
        if time.monotonic() - self._looked >= LOOK:
            self._look()
        for entries in self._lists[self._given :]:
            self._given += 1
            yield entries

    @property
    def next_list(self) -> int:
        """Return the number of the first list of points that was not there at the last look."""
        return self._given

    def add_list(self, number: int, content: Iterable[Any]) -> bool:
        """Try to add a list of points; return False if another process added the list of that number."""
        name, entries = journal_base.new_name(), list(content)
        self.database.add({"event": "list", "number": number, "entries": entries, "writer": name, "count": 0})
        before = len(self._lists)
        self._look()
        self.has_changed()
        return before <= number < len(self._lists) and self._lists[number] == entries

    def claims(self) -> dict[str, int]:
        """Return the newest segment of each trial that is claimed."""
        return {key: segment for key, (segment, _) in self._claims.items()}

    def claim(self, key: str, segment: int, writer: journal_base.Writer) -> bool:
        """Try to be the one that runs a segment of a trial; return whether that succeeded."""
        assert isinstance(writer, DatabaseWriter)
        writer.show_life()  # so that nobody takes this process for dead before it knows the answer
        writer.append({"event": "claim", "trial": key, "segment": segment, "seen": self._told})
        self._look()
        return self._claims.get(key) == (segment, writer.name)

    def claimant(self, key: str, segment: int) -> str:
        """Return the writer that claimed a segment, if it is the newest of its trial."""
        newest, writer = self._claims.get(key, (-1, ""))
        return writer if newest == segment else ""

    def new_events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the events of the last look."""
        fresh, self._fresh, self._told = self._fresh, [], self._rows
        yield from fresh

    def alive(self, writer: str) -> bool:
        """Return whether a writer may still be running trials."""
        if writer not in self._running:
            return False
        number, hello = self._hellos[writer]
        if not journal_base.gone(writer, hello["identity"]):
            return True
        self._running.discard(writer)
        self.database.end(number, dead=True)
        return False

    def elsewhere(self) -> frozenset[str]:
        """Return the writers whose trials have their checkpoints on another machine, where a process of the sweep lives."""
        living = {self._place(writer) for writer in list(self._running) if self.alive(writer)} - {self.place}
        return frozenset(writer for writer in self._hellos if self._place(writer) in living)

    def close(self) -> None:
        """Close the connections to the database."""
        self.database.close()

    def whereabouts(self, key: str, segment: int) -> str:
        """Return the directory of the writer that claimed a segment as ``host:path``; empty if it is that of this process."""
        writer = self.claimant(key, segment)
        if writer not in self._hellos or self._place(writer) == self.place:
            return ""
        return str(self._hellos[writer][1]["where"])

    def _place(self, writer: str) -> str:
        return str(self._hellos[writer][1]["place"])

    def _say(self, text: str) -> None:
        self.say(text)  # what shows lines changes

    def _is_hurried(self) -> bool:
        return self.hurried()

    def _look(self) -> None:
        """Read the new rows, and which processes live."""
        if self._others_run():
            self.database.note_the_dead()
        rows = self.database.rows()
        for number in range(self._rows, len(rows)):
            self._take(number, rows[number].user_attrs.get(KEY))
        self._rows, self._looked = len(rows), time.monotonic()
        self._running = {name for name, (number, _) in self._hellos.items() if not rows[number].state.is_finished()}
        if self._own is not None and self._own.name not in self._running:
            self._own.say_hello()  # it was silent for longer than the lease of another process
            self.has_changed()

    def _others_run(self) -> bool:
        return bool(self._running - {self._own.name if self._own else ""})

    def _take(self, number: int, event: Any) -> None:
        """Take a row into account, unless it is a second copy: its writer did not learn that the first one arrived."""
        if not (isinstance(event, dict) and schema.fits(event.get("event"), str)):
            return
        kind: Any = event["event"]
        writer: Any = event.get("writer")
        count: Any = event.get("count")
        wrong = not (isinstance(writer, str) and schema.fits(count, Count))
        if wrong or not all(schema.fits(event.get(key), what) for key, what in FIELDS.get(kind, {}).items()):
            return
        if kind == "hello":  # of two copies, the second one has the heartbeats
            self._greeted(number, writer, event)
        if count <= self._counts.get(writer, -1):
            return
        self._counts[writer] = count
        if kind == "sweep":
            self.record = event["record"] if self.record is None else self.record
        elif kind == "list":
            self._lists += [event["entries"]] if event["number"] == len(self._lists) else []
        elif kind == "claim":
            self._claimed(number, writer, event)
        else:
            self._happened(number, event)
            self._fresh.append((writer, event))

    def _greeted(self, number: int, writer: str, event: dict[str, Any]) -> None:
        self._hellos[writer] = number, event
        for key, (_, holder) in self._claims.items():
            if holder == writer:
                self._touched[key] = number  # it lives: who took it for dead must look again

    def _claimed(self, number: int, writer: str, event: Event) -> None:
        key, segment = event["trial"], event["segment"]
        newest, _ = self._claims.get(key, (-1, ""))
        if segment == newest + 1 and self._touched.get(key, -1) < event["seen"]:
            self._claims[key] = segment, writer
            self._touched[key] = number

    def _happened(self, number: int, event: Event) -> None:
        key, (newest, _) = str(event.get("trial")), self._claims.get(str(event.get("trial")), (-1, ""))
        if event.get("segment") == newest:
            self._touched[key] = number
