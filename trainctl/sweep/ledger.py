"""The state of a sweep, as its journal tells it: its points, its trials, and which of them somebody runs."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from trainctl.errors import CheckpointError
from trainctl.settings import config, schema
from trainctl.settings.space import Words
from trainctl.store.journal_base import Journal
from trainctl.store.runpath import RunPath
from trainctl.sweep.trial import INTERRUPTED, Trial

SEED = re.compile(r"(split\.)?seed=\d[\d_]{0,12}")
ENDS = ("paused", "pruned", "finished", "stopped", "failed")


@dataclass
class Ledger:
    """All trials of a sweep, in the order of their points and repetitions.

    Args:
        home: The sweep's directory.
        journal: Its journal.
        digits: Digits of a point's number in the names of directories.
        replicates: The repetitions of each point.
        points: The words of each point.
        drawn: The words that were drawn for a point, where some of them do not apply to it.
        trials: Each trial by its key.
        dead: Keys of running trials whose process has ended without a word.
        elsewhere: Keys of trials that a living process on another machine can continue, and this one only start again.
        saving: Keys of dead trials that a process of this machine may still be saving; nobody else begins them meanwhile.
        released: Keys of trials that are not left to others any more, because those do not continue them.
        order: The trials as :func:`ordered` returned them last.
    """

    home: RunPath
    journal: Journal
    digits: int
    replicates: list[Words] = field(default_factory=list)
    points: list[Words] = field(default_factory=list)
    drawn: dict[Words, Words] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)
    segments: dict[str, int] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)
    saving: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    order: list[tuple[str, Trial]] = field(default_factory=list)
    _measured: dict[str, int] = field(default_factory=dict)
    _ends: dict[str, dict[int, Mapping[str, Any]]] = field(default_factory=dict)
    _again: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._place, self._over = self.home.path, -1
        self._logs = self._place / "logs"

    def update(self) -> None:
        """Read what is new in the journal.

        Raises:
            CheckpointError: If a list of points is damaged.
        """
        for entries in self.journal.new_lists():
            self._add(entries)
        claims = self.journal.claims()
        events = list(self.journal.new_events())
        for key, segment in claims.items():
            if segment > self.segments.get(key, -1):
                self._claimed(key, segment)
        for _, event in events:
            self._apply(event)
        self.dead = {key for key in self.running() if not self.journal.alive(self._claimant(key))}
        others = self.journal.elsewhere()
        self.elsewhere = {key for key in self.segments if self._claimant(key) in others} if others else set()
        self.elsewhere -= self.released

    def running(self) -> list[str]:
        """Return the keys of the trials that somebody runs, or ran when it died."""
        return [key for key, trial in self.trials.items() if trial.status == "running"]

    @property
    def complete(self) -> bool:
        """Return whether a process has said that no decision can begin or continue any of these trials."""
        return self._over == len(self.trials) and not any(map(self._is_begun_again, self.trials))

    def _is_begun_again(self, key: str) -> bool:
        """Return whether a trial runs, ran when its process died, was interrupted, or is to be tried again."""
        trial = self.trials[key]
        again = trial.status == "waiting" and key in self.segments
        return again or trial.status == "running" or (trial.status == "paused" and trial.reason == INTERRUPTED)

    @property
    def next_list(self) -> int:
        """Return the number of the list of points that does not exist yet."""
        return self.journal.next_list

    def _claimant(self, key: str) -> str:
        return self.journal.claimant(key, self.segments[key])

    def _add(self, entries: list[Any]) -> None:
        """Add the points, repetitions, and trials that confirm a point with fresh seeds, of a list."""
        known = set(self.points)
        for entry in entries:
            kind, words = _entry(entry)
            if kind == "confirm" and _is_count(entry.get("of")) and entry["of"] < len(self.points):
                self._put(entry["of"], words, confirms=True)
            elif kind == "repeat":
                self.replicates += [words] if words not in self.replicates else []
            elif kind == "point":
                if words not in known:
                    self.points.append(words)
                    self.drawn[words] = _entry({"point": entry.get("drawn")})[1] or words
                    known.add(words)
            else:
                raise CheckpointError(f"{self.home / 'lists'}: a list of points is damaged")
        for point in range(len(self.points)):
            for replicate in self.replicates:
                self._put(point, replicate, confirms=False)

    def _put(self, point: int, replicate: Words, *, confirms: bool) -> None:
        key = key_of(point, replicate)
        if key not in self.trials:
            words = self.points[point]
            directory = self._place / directory_name(point, words, replicate, self.digits)
            self.trials[key] = Trial(point, words, replicate, directory, confirms=confirms)

    def _claimed(self, key: str, segment: int) -> None:
        trial = self.trials.get(key)
        if trial is not None:
            self.segments[key] = segment
            trial.status, trial.reason = "running", ""
            trial.place = self.journal.whereabouts(key, segment)
            trial.log = self._logs / f"{trial.directory.name}.log"

    def _apply(self, event: Mapping[str, Any]) -> None:
        """Apply an event of a trial: numbers of any segment, but an end only of the newest, which nobody has taken over."""
        if event["event"] == "again":
            self._retry(event)
            return
        if event["event"] == "over" and _is_count(event.get("trials")):
            self._over = max(self._over, event["trials"])
            return
        key, segment = str(event.get("trial")), event.get("segment")
        trial = self.trials.get(key)
        if trial is None or not _is_count(segment):
            return
        if event["event"] == "rung" and _is_count(event.get("rung")) and _is_number(event.get("value")):
            trial.rungs[event["rung"]] = float(event["value"])
        if segment >= self._measured.get(key, 0):
            self._measured[key] = segment
            _measure(trial, event)
        if event["event"] == "end" and event.get("status") in ENDS:
            self._ends.setdefault(key, {})[segment] = event
            self._conclude(key)
            if isinstance(event.get("facts"), dict) and event["status"] != "failed":
                self.facts[key] = event["facts"]

    def _conclude(self, key: str) -> None:
        """Set how a trial ended, from the ends of its segments."""
        trial, ends, again = self.trials[key], self._ends.get(key, {}), self._again.get(key, -1)
        trial.attempts = sum(end["status"] == "failed" for segment, end in ends.items() if segment > again)
        segment = self.segments.get(key, -1)
        if end := ends.get(segment):
            trial.status, trial.reason = end["status"], str(end.get("reason", ""))
            if trial.status == "failed" and segment <= again:
                trial.status, trial.reason = "waiting", ""

    def _retry(self, event: Mapping[str, Any]) -> None:
        """Let trials that failed wait again: the user resumed the sweep."""
        failed = event.get("trials")
        for key, segment in failed.items() if isinstance(failed, dict) else ():
            if key in self.trials and _is_count(segment):
                self._again[key] = max(segment, self._again.get(key, -1))
                self._conclude(key)


def _measure(trial: Trial, event: Mapping[str, Any]) -> None:
    """Take over the numbers of an event."""
    for name in ("value", "epoch", "seconds"):
        if _is_number(event.get(name)):
            setattr(trial, name, float(event[name]))
    for name in ("step", "parameters"):
        if _is_count(event.get(name)):
            setattr(trial, name, event[name])
    for name in ("metrics", "values"):
        if isinstance(numbers := event.get(name), dict):
            setattr(trial, name, {str(key): float(value) for key, value in numbers.items() if _is_number(value)})
    if isinstance(points := event.get("curve"), list):
        trial.curve = tuple((float(one[0]), float(one[1])) for one in points if _is_point(one))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def _is_point(value: object) -> TypeGuard[list[float]]:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= schema.LARGEST_INT


def _entry(entry: Any) -> tuple[str, Words]:
    """Return the kind and the words of an entry of a list of points; an empty kind if it is damaged."""
    for kind in ("point", "repeat", "confirm"):
        words: Any = entry.get(kind) if isinstance(entry, dict) else None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            continue
        if kind == "point" or all(map(SEED.fullmatch, words)):
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


def ordered(ledger: Ledger) -> Sequence[tuple[str, Trial]]:
    """Return the trials in the order in which they are run: all points with the first seeds, then with the next."""
    if len(ledger.order) != len(ledger.trials):  # sorted once: a decision is made after every trial
        rank = {replicate: number for number, replicate in enumerate(ledger.replicates)}
        ledger.order = sorted(
            ledger.trials.items(),
            key=lambda item: (item[1].confirms, rank.get(item[1].replicate, len(rank)), item[1].point),
        )
    return ledger.order
