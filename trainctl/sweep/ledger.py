"""The state of a sweep, as its journal tells it: its points, its trials, and which of them somebody runs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError
from trainctl.settings import config
from trainctl.settings.space import Words
from trainctl.store.journal import Liveness, Reader
from trainctl.sweep.trial import Trial

ENDS = ("paused", "pruned", "finished", "stopped", "failed")


@dataclass
class Ledger:
    """All trials of a sweep, in the order of their points and repetitions.

    Args:
        home: The sweep's directory.
        lease: After how long without a sign of life the trials of a process are taken over [s].
        digits: Digits of a point's number in the names of directories.
        replicates: The repetitions of each point.
        points: The words of each point.
        drawn: The words that were drawn for a point, where some of them do not apply to it.
        trials: Each trial by its key.
        dead: Keys of running trials whose process has ended without a word.
    """

    home: Path
    lease: float
    digits: int
    replicates: list[Words] = field(default_factory=list)
    points: list[Words] = field(default_factory=list)
    drawn: dict[Words, Words] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)
    segments: dict[str, int] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lists: int = 0

    def __post_init__(self) -> None:
        self.reader, self.liveness = Reader(self.home), Liveness(self.home, self.lease)

    def update(self) -> None:
        """Read what is new in the journal.

        Raises:
            CheckpointError: If a list of points is damaged.
        """
        lists = self.reader.lists()
        for entries in lists[self._lists :]:
            self._add(entries)
        self._lists = len(lists)
        claims = self.reader.claims()
        events = list(self.reader.new_events())
        for writer, event in events:
            self.liveness.note(writer, event)
        for key, segment in claims.items():
            self._claimed(key, segment)
        for _, event in events:
            self._apply(event)
        self.dead = {key for key in self.running() if not self.liveness.alive(self._claimant(key))}

    def running(self) -> list[str]:
        """Return the keys of the trials that somebody runs, or ran when it died."""
        return [key for key, trial in self.trials.items() if trial.status == "running"]

    @property
    def next_list(self) -> int:
        """Return the number of the list of points that does not exist yet."""
        return self._lists

    def _claimant(self, key: str) -> str:
        return self.reader.claimant(key, self.segments[key])

    def _add(self, entries: Any) -> None:
        """Add the points, repetitions, and trials that confirm a point with fresh seeds, of a list."""
        known = set(self.points)
        for entry in entries if isinstance(entries, list) else [None]:
            kind, words = _entry(entry)
            if kind == "confirm" and isinstance(entry["of"], int):
                self._put(entry["of"], words, confirms=True)
            elif kind == "repeat" and words not in self.replicates:
                self.replicates.append(words)
            elif kind == "point" and words not in known:
                self.points.append(words)
                self.drawn[words] = _entry({"point": entry.get("drawn")})[1] or words
                known.add(words)
            elif not kind:
                raise CheckpointError(f"{self.home}/lists: a list of points is damaged")
        for point in range(len(self.points)):
            for replicate in self.replicates:
                self._put(point, replicate, confirms=False)

    def _put(self, point: int, replicate: Words, *, confirms: bool) -> None:
        key = key_of(point, replicate)
        if key not in self.trials:
            words = self.points[point]
            directory = self.home / directory_name(point, words, replicate, self.digits)
            self.trials[key] = Trial(point, words, replicate, directory, confirms=confirms)

    def _claimed(self, key: str, segment: int) -> None:
        trial = self.trials.get(key)
        if trial is not None and segment > self.segments.get(key, -1):
            self.segments[key] = segment
            trial.status, trial.reason = "running", ""
            trial.log = self.home / "logs" / f"{trial.directory.name}.log"

    def _apply(self, event: Mapping[str, Any]) -> None:
        """Apply an event of a trial; one of a segment that somebody has taken over does not count."""
        if event["event"] == "again":
            self._retry(event)
            return
        trial, segment = self.trials.get(str(event.get("trial"))), event.get("segment")
        if trial is None or segment != self.segments.get(str(event["trial"])):
            return
        _measure(trial, event)
        if event["event"] == "end" and event.get("status") in ENDS:
            trial.status, trial.reason = event["status"], str(event.get("reason", ""))
            trial.attempts += trial.status == "failed"
        if isinstance(event.get("facts"), dict):
            self.facts[str(event["trial"])] = event["facts"]

    def _retry(self, event: Mapping[str, Any]) -> None:
        """Let trials that failed wait again: the user resumed the sweep."""
        for key, segment in event.get("trials", {}).items():
            trial = self.trials.get(key)
            if trial and self.segments.get(key) == segment and trial.status == "failed":
                trial.status, trial.attempts = "waiting", 0


def _measure(trial: Trial, event: Mapping[str, Any]) -> None:
    """Take over the numbers of an event."""
    for name in ("value", "step", "epoch", "seconds", "parameters"):
        number = event.get(name)
        if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number):
            setattr(trial, name, number)
    for name in ("metrics", "values"):
        if isinstance(numbers := event.get(name), dict):
            setattr(trial, name, {str(key): float(value) for key, value in numbers.items() if _is_number(value)})
    if event["event"] == "rung" and _is_number(event.get("value")):
        trial.rungs[int(event["rung"])] = float(event["value"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _entry(entry: Any) -> tuple[str, Words]:
    """Return the kind and the words of an entry of a list of points; an empty kind if it is damaged."""
    for kind in ("point", "repeat", "confirm"):
        words = entry.get(kind) if isinstance(entry, dict) else None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return kind, tuple(words)
    return "", ()


def key_of(point: int, replicate: Sequence[str]) -> str:
    """Return the key of a trial, which names its claims.

    >>> key_of(3, ("seed=1", "split.seed=0"))
    '3-seed1-split.seed0'
    """
    return "-".join([str(point), *(word.replace("=", "") for word in replicate)])


def directory_name(point: int, words: Words, replicate: Words, digits: int) -> str:
    """Return the name of a trial's run directory.

    >>> directory_name(3, ("optimizer.lr=0.1",), ("seed=1",), 2)
    '03-optimizer.lr=0.1,seed=1'
    """
    name = f"{point:0{digits}d}-{config.slug(','.join(words) or 'run')}"
    return ",".join([name, *replicate])


def ordered(ledger: Ledger) -> Iterator[tuple[str, Trial]]:
    """Yield the trials in the order in which they are run: all points with the first seeds, then with the next."""
    rank = {replicate: number for number, replicate in enumerate(ledger.replicates)}
    yield from sorted(
        ledger.trials.items(),
        key=lambda item: (item[1].confirms, rank.get(item[1].replicate, len(rank)), item[1].point),
    )
