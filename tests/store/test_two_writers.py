"""Two processes and one run directory, in every order of events: no checkpoint of the one that holds the lock is lost.

Each writer is a thread of its own that is suspended before every operation on the disk, as SIGSTOP or a suspended machine
would; the next operation is anybody's. A user removes the lock, too, and a writer may be killed.
"""

import os
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.faults import replace_os
from tests.soak import cases, seed
from trainctl.errors import StorageError
from trainctl.store import files, lock, runpath

STOPS = ("open", "replace", "unlink", "link", "mkdir")


class Killed(BaseException):
    """The writer's process is killed."""


class Writer(threading.Thread):
    """Holds the lock and writes numbered commits; a commit removes the one before the last.

    Args:
        directory: The run's.
        name: Of the process, in its files.
        commits: How many it writes.
    """

    def __init__(self, directory: Path, name: str, commits: int) -> None:
        super().__init__(daemon=True)
        self.directory, self.label, self.commits = directory, name, commits
        self.may_go, self.waits = threading.Semaphore(0), threading.Semaphore(0)
        self.written: list[str] = []
        self.lost = self.refused = self.killed = self.done = False
        self.fence = 0

    def pause(self) -> None:
        """Be suspended until :meth:`go`."""
        if threading.current_thread() is self:
            self.waits.release()
            self.may_go.acquire()
            if self.killed:
                raise Killed

    def go(self) -> None:
        """Do one operation, and be suspended before the next."""
        self.may_go.release()
        self.waits.acquire()

    def run(self) -> None:
        try:
            self.pause()
            held = runpath.hold(self.directory)
            with lock.hold(held):
                self.fence = held.anchor.fence
                for number in range(self.commits):
                    name = f"{self.fence:020d}-{self.label}-{number}"
                    files.write_bytes(held / "checkpoints" / name, b"x")
                    self.written.append(name)
                    for old in self.written[:-2]:
                        files.remove(held / "checkpoints" / old)
        except lock.LostLockError:
            self.lost = True
        except StorageError:
            self.refused = True
        except Killed:
            pass
        finally:
            self.done = True
            self.waits.release()


class Suspended:
    """An ``os`` that suspends the writer that calls it, before each operation."""

    def __init__(self, writers: list[Writer]) -> None:
        self.writers = writers

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in STOPS:
            return real

        def operation(*arguments: Any, **where: Any) -> Any:
            for writer in self.writers:
                writer.pause()
            return real(*arguments, **where)

        return operation


def interleave(directory: Path, chance: random.Random, patch: pytest.MonkeyPatch) -> tuple[list[Writer], str]:
    """Let two writers go on in any order, and a user remove the lock; return them, and what happened."""
    (directory / "checkpoints").mkdir(parents=True)
    writers = [Writer(directory, name, chance.randint(1, 4)) for name in "ab"]
    replace_os(patch, Suspended(writers))
    patch.setattr(lock, "_gone", lambda other: False)  # both are alive, as far as each other knows
    happened = []
    for writer in writers:
        writer.start()
        writer.waits.acquire()
    turns = chance.choice((2, 5, 12))  # how long the same one goes on
    writer = writers[0]
    while alive := [each for each in writers if not each.done]:
        if writer not in alive or chance.random() < 1 / turns:
            writer = chance.choice(alive)
        if chance.random() < 0.06 and (directory / lock.NAME).exists():
            (directory / lock.NAME).unlink()
            happened.append("removed")
        elif chance.random() < 0.01:
            writer.killed = True
            happened.append(f"killed {writer.label}")
        happened.append(writer.label)
        writer.go()
    return writers, " ".join(happened)


@pytest.mark.soak
def test_in_every_order_of_events_the_newest_commits_are_those_of_the_last_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.0)
    chance, ends = seed("two writers"), {"lost": 0, "refused": 0, "both": 0}
    for case in range(cases(30)):
        with monkeypatch.context() as patch:
            writers, happened = interleave(tmp_path / "run", chance, patch)
        left = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name[0] != "."}
        for writer in writers:
            kept = set(writer.written[-2:])
            assert kept <= left, (case, writer.label, happened)
        a, b = writers
        if a.written and b.written:
            ends["both"] += 1
            assert a.fence != b.fence, (case, happened)
            last = max(writers, key=lambda writer: writer.fence)
            assert last.written[-1] <= max(left) < f"{last.fence + 1:020d}", (case, happened)
            assert not (a.lost and b.lost) or "removed" in happened, (case, happened)
        for key in ("lost", "refused"):
            ends[key] += a.__dict__[key] + b.__dict__[key]
        shutil.rmtree(tmp_path / "run")
    assert min(ends.values()) > 0, ends
