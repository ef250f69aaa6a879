"""The journal of a sweep: what any number of processes, on any number of machines, say about its trials. No torch.

::

    <sweep>/journal/<writer>.jsonl     events, one JSON object per line; each process writes a file of its own
    <sweep>/journal/<writer>.beat      a counter that shows that the process is alive
    <sweep>/lists/<number>.json        points; each file is created once
    <sweep>/claims/<trial>.<segment>   who runs a segment of a trial; each file is created once

Nobody writes to a file of another process, so a line that a kill tore is the last of its file. Two processes that want
the same name are separated by O_EXCL, which network file systems respect; nothing relies on flock, or on clocks that agree.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError
from trainctl.fileformat.json_text import parse_json
from trainctl.store import files

FOLDERS = ("journal", "lists", "claims")
LARGEST = 2**28  # bytes of one file of events
Event = Mapping[str, Any]


def prepare(home: Path) -> None:
    """Create the directories of a journal, where they do not exist."""
    for name in FOLDERS:
        with suppress(FileExistsError):
            files.make_directory(home / name)


class Writer:
    """One process's own part of a journal.

    Args:
        home: The sweep's directory.
        lease: How long the others wait for a sign of life [s].
    """

    def __init__(self, home: Path, lease: float) -> None:
        self.name = f"{socket.gethostname().split('.')[0] or 'host'}-{os.getpid()}-{secrets.token_hex(4)}"
        self.path = home / "journal" / f"{self.name}.jsonl"
        self._beat, self._lease, self._count = home / "journal" / f"{self.name}.beat", lease, 0
        self._ended = threading.Event()
        self.append(
            {"event": "hello", "host": socket.gethostname(), "pid": os.getpid(), "started": process_start(os.getpid())}
        )
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
        with suppress(OSError):
            self._beat.unlink()

    def _keep_showing(self) -> None:
        while not self._ended.wait(self._lease / 5):
            self._show_life()

    def _show_life(self) -> None:
        self._count += 1
        with suppress(OSError):  # tried again soon; what the others conclude from a long silence is right
            aside = self._beat.with_suffix(f".{secrets.token_hex(4)}")
            aside.write_text(str(self._count), encoding="ascii")
            aside.replace(self._beat)


@dataclass
class Reader:
    """Reads what was added to a journal since the last look.

    Args:
        home: The sweep's directory.
    """

    home: Path
    _positions: dict[str, int] = field(default_factory=dict)

    def new_events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each new event with the name of its writer; events of one writer come in their order.

        A line that is damaged is skipped, and an unfinished last one is left for the next look.
        """
        for path in _listed(self.home / "journal", ".jsonl"):
            writer, start = path.stem, self._positions.get(path.stem, 0)
            with suppress(OSError), path.open("rb") as file:
                file.seek(start)
                content = file.read(LARGEST)
                complete = content[: content.rfind(b"\n") + 1]
                self._positions[writer] = start + len(complete)
                for line in complete.splitlines():
                    if event := _event(line, path):
                        yield writer, event

    def claims(self) -> dict[str, int]:
        """Return the newest segment of each trial that is claimed, by the trial's key."""
        newest: dict[str, int] = {}
        for name in _names(self.home / "claims"):
            key, _, segment = name.rpartition(".")
            if key and segment.isdecimal():
                newest[key] = max(newest.get(key, 0), int(segment))
        return newest

    def claimant(self, key: str, segment: int) -> str:
        """Return the writer that claimed a segment; empty if the file is unreadable."""
        with suppress(OSError, UnicodeDecodeError):
            return (self.home / "claims" / f"{key}.{segment}").read_text(encoding="utf-8").strip()
        return ""

    def lists(self) -> list[Any]:
        """Return the content of all lists of points, in order.

        Raises:
            CheckpointError: If one is damaged: without it, the numbers of points would shift.
        """
        contents = []
        for number in range(10**6):
            path = self.home / "lists" / f"{number:06d}.json"
            try:
                text = path.read_text(encoding="utf-8")
            except FileNotFoundError:
                break
            except (OSError, UnicodeDecodeError) as error:
                raise CheckpointError(f"{path}: cannot be read: {error}") from error
            contents.append(parse_json(text, path, CheckpointError))
        return contents


def claim(home: Path, key: str, segment: int, writer: Writer) -> bool:
    """Try to be the one that runs a segment of a trial; return whether that succeeded."""
    return files.create(home / "claims" / f"{key}.{segment}", writer.name.encode())


def add_list(home: Path, number: int, content: Iterable[Any]) -> bool:
    """Try to create a list of points; return False if another process created the list of that number."""
    path = home / "lists" / f"{number:06d}.json"
    aside = path.with_name(f"{secrets.token_hex(8)}.tmp")
    files.write_bytes(aside, json.dumps(list(content)).encode())
    try:
        os.link(aside, path)  # complete from its first moment on
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        return files.create(path, json.dumps(list(content)).encode())
    finally:
        with suppress(OSError):
            aside.unlink()
    return True


@dataclass
class Liveness:
    """Judges which writers are alive, by this process's own clock.

    Args:
        home: The sweep's directory.
        lease: A writer whose counter has not changed for so long is dead [s].
    """

    home: Path
    lease: float
    _hello: dict[str, Event] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _beats: dict[str, tuple[str, float]] = field(default_factory=dict)

    def note(self, writer: str, event: Event) -> None:
        """Take an event into account."""
        if event.get("event") == "hello":
            self._hello[writer] = event
        elif event.get("event") == "bye":
            self._gone.add(writer)

    def alive(self, writer: str) -> bool:
        """Return whether a writer may still be running trials."""
        if writer in self._gone:
            return False
        hello = self._hello.get(writer, {})
        if hello.get("host") == socket.gethostname() and hello.get("started"):
            if process_start(int(hello.get("pid", 0))) == hello["started"]:
                return self._shows_life(writer)
            if str(hello["started"]).partition(" ")[0] == process_start(os.getpid()).partition(" ")[0]:
                self._gone.add(writer)  # of this boot, and no longer there
                return False
        return self._shows_life(writer)

    def _shows_life(self, writer: str) -> bool:
        now = time.monotonic()
        try:
            count = (self.home / "journal" / f"{writer}.beat").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            count = "none"
        before, since = self._beats.get(writer, ("", now))
        if count != before:
            since = now
        self._beats[writer] = (count, since)
        return now - since < self.lease


def process_start(pid: int) -> str:
    """Return the boot and the time in it at which a process started, with its namespace; "" if there is none."""
    with suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").readlink()
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if state in "ZX" else f"{boot}{namespace} {fields[18]}"  # proc(5): starttime is field 22
    return ""


def _event(line: bytes, path: Path) -> dict[str, Any] | None:
    with suppress(CheckpointError, UnicodeDecodeError):
        event = parse_json(line.decode("utf-8"), path, CheckpointError)
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            return event
    return None


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []


def _listed(folder: Path, suffix: str) -> list[Path]:
    return [folder / name for name in sorted(_names(folder)) if name.endswith(suffix)]
