"""A run's steps once more: in memory from one of its checkpoints, or as a new run from its records; is it the same?"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainctl.errors import CheckpointError, ConfigError, Interrupted
from trainctl.run import assemble
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run
from trainctl.settings.config import Config
from trainctl.store import checkpoint, rundir
from trainctl.store.checkpoint import Saved
from trainctl.train import loop, session
from trainctl.train.checkpoint_writer import Nothing

SHORT = 60.0  # a run that took less than this is replayed from its start [s]
CLOCK = ("seconds", "samples_per_second")  # what the clock says, and never twice the same
NOTHING = "run.json shows no cause"


@dataclass(frozen=True)
class Outcome:
    """What a repetition found.

    Args:
        start, end: It went from one step to the other [optimizer steps].
        evaluations: Compared.
        tensors: Compared; 0 if no checkpoint of the last step is kept.
        difference: The first one, in words; empty if all bits are the same.
        causes: What has changed since, that may explain it.
        notes: What is to be told to the user.
    """

    start: int
    end: int
    evaluations: int
    tensors: int
    difference: str = ""
    causes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Differs(Exception):
    """An evaluation gave other numbers."""


class Comparer(Reporter):
    """Compares every evaluation with the run's own record of it; a reporter that reports nothing."""

    def __init__(self, expected: Mapping[int, Row]) -> None:
        self.expected, self.seen = expected, 0

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Begin."""

    def evaluation(self, row: Row) -> None:
        """Compare the newest evaluation.

        Raises:
            Differs: If it is not the same.
        """
        step = int(row["step"])
        if difference := unlike(self.expected.get(step), row):
            raise Differs(f"step {step}: {difference}")
        self.seen += 1

    def forget(self, step: int) -> None:
        """Compare what comes again."""

    def note(self, text: str) -> None:
        """Pass over a line for the user."""

    def detail(self, text: str) -> None:
        """Pass over a line for the log."""

    def unsaved(self) -> list[Row]:
        """Lack nothing."""
        return []

    def finish(self, summary: Mapping[str, Any]) -> None:
        """End."""

    def close(self) -> None:
        """End."""


def unlike(before: Row | None, now: Row | None) -> str:
    """Say what differs first in two records of one evaluation; empty if nothing does."""
    if before is None or now is None:
        return "metrics.jsonl has no such evaluation" if before is None else "it was not evaluated again"
    before, now = (json.loads(rundir.line(row)) for row in (before, now))
    for key in dict.fromkeys([*before, *now]):
        if key not in CLOCK and before.get(key) != now.get(key):
            return f"{key} was {before.get(key)}, is now {now.get(key)}"
    return ""


def verify(directory: Path, settings: Config, begin: str, steps: int | None) -> Outcome:
    """Replay a run in memory, and compare metrics and tensors with what it wrote; write nothing.

    Args:
        directory: The run's.
        settings: Its configuration.
        begin: ``auto`` (the start of a short run, else the oldest checkpoint), ``start``, ``oldest``, or a step.
        steps: How many to replay at most; None for all until the newest checkpoint.

    Raises:
        CheckpointError: If there is no undamaged checkpoint, or the data or settings are not the run's.
        ConfigError: If the run follows the clock or was rewound, or there is no checkpoint to begin with.
    """
    repeatable(settings)
    whole, troubles = checkpoint.kept(directory)
    kept = {saved.manifest["step"]: saved for saved in whole}
    newest = checkpoint.newest(directory)
    first = _begin(begin, kept, newest)
    _went_straight(newest, kept.get(first))
    last = min(newest.manifest["step"], first + steps if steps else newest.manifest["step"])
    if last <= first:
        raise ConfigError(
            f"from={begin}: nothing to replay, the newest checkpoint is of step {newest.manifest['step']}"
        )
    run = assemble.assemble(_until(session.as_before(settings, newest.manifest["threads"]), last))
    checkpoint.check_origin(run, newest)
    if first:
        checkpoint.restore(run, kept[first])
        run.state.stopping = replace(run.state.stopping, stop=False, reason="")  # it was resumed after that
    comparer = Comparer({row["step"]: row for row in _rows(directory, first, last)})
    try:
        _again(run, directory, comparer)
        difference, tensors = _compare(run, kept.get(last))
    except Differs as error:
        difference, tensors = str(error), 0
    if not difference and comparer.seen != len(comparer.expected):
        difference = f"{len(comparer.expected)} evaluations are recorded, {comparer.seen} were made"
    causes = (*session.inexact(newest, settings), *_changes(directory, first)) if difference else ()
    notes = tuple(f"passed over: {trouble}" for trouble in troubles)
    return Outcome(first, last, comparer.seen, tensors, difference, causes, notes)


def repeatable(settings: Config) -> None:
    """Check that a run's course does not depend on the clock.

    Raises:
        ConfigError: If it does.
    """
    if settings.loop.max_seconds is not None:
        raise ConfigError(
            f"loop.max_time={settings.loop.max_time}: a run that follows the clock never goes the same way twice"
        )
    if settings.parts["early_stopping"]["name"] == "time":
        raise ConfigError("early_stopping=time: a run that follows the clock never goes the same way twice")


def _went_straight(saved: Saved, first: Saved | None = None) -> None:
    """Check that a run did not go back on its way to a checkpoint: where it went back to, the clock had decided.

    Raises:
        ConfigError: If it did.
    """
    if (count := _rewinds(saved)) != (_rewinds(first) if first else 0):
        raise ConfigError(
            f"loop.on_nonfinite=rewind: the run went back {count} times, to what was its newest checkpoint by the clock:"
            " that never goes the same way twice"
        )


def _rewinds(saved: Saved) -> int:
    return int(saved.manifest["state"].get("rewinds", 0))


def _begin(begin: str, kept: Mapping[int, Saved], newest: Saved) -> int:
    """Return the step to begin with."""
    end = newest.manifest["step"]
    if begin == "auto":
        short = newest.manifest["state"]["seconds"] <= SHORT and not _rewinds(newest)
        begin = "start" if short or len(kept) < 2 else "oldest"
    step = {"start": 0, "oldest": min(kept, default=0)}.get(begin, int(begin) if begin.isdecimal() else -1)
    if step != 0 and (step not in kept or step >= end):
        steps = ", ".join(map(str, sorted({0, *kept} - {end})))
        raise ConfigError(f"from={begin}: no checkpoint to begin with; choose from: start, oldest, {steps}")
    return step


def _until(settings: Config, step: int) -> Config:
    return replace(settings, loop=replace(settings.loop, stop_at_step=step))


def _again(run: Run, directory: Path, comparer: Comparer) -> None:
    """Take the steps; the last one of them stops the loop as a signal would."""
    end = run.config.loop.stop_at_step
    try:
        loop.train(run, directory, comparer, Nothing(run, directory, comparer))
    except Interrupted:
        if run.state.step != end:
            raise Interrupted("interrupted; the run is as it was") from None


def _rows(directory: Path, first: int, last: int, *, tested: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the recorded evaluations between two steps; the test metrics on their own."""
    for row in rundir.read_metrics(directory, last):
        if (row["step"] > first or tested) and tested == any(key.startswith("test/") for key in row):
            yield row


def _compare(run: Run, saved: Saved | None) -> tuple[str, int]:
    """Compare a run with its checkpoint of the same step; return the first difference and how many tensors there are."""
    if saved is None:
        return "", 0
    numbers = asdict(replace(run.state, best_weights={}))
    for key, value in saved.manifest["state"].items():
        if key != "seconds" and json.dumps(value) != json.dumps(numbers[key]):
            return f"step {run.state.step}: {key} was {value}, is now {numbers[key]}", 0
    expected, found = _payloads(saved), checkpoint.held(run)
    found |= {f"best model.{key}": value for key, value in run.state.best_weights.items()}
    found |= {f"best {key}": value for key, value in found.items() if key.startswith(("scale.", "clean."))}
    return unequal(expected, found, run.state.step), len(expected)


def unequal(before: Mapping[str, Tensor], now: Mapping[str, Tensor], step: int) -> str:
    """Say which tensor is the first that differs in any bit; empty if none does."""
    fresh = [name for name in now if name not in before and not name.startswith("random.")]  # older ones hold fewer
    for name in (*before, *fresh):
        if name not in before or name not in now:
            return f"step {step}: tensor {name} is there {'now' if name in now else 'no more'}"
        then, again = before[name], now[name].detach().cpu()
        if then.shape != again.shape or then.dtype != again.dtype:
            return f"step {step}: tensor {name} was {then.dtype} {tuple(then.shape)}, is now {again.dtype} {tuple(again.shape)}"
        different = (_bits(then) != _bits(again)).view(then.numel(), -1).any(1) if then.numel() else torch.zeros(0)
        if different.any():
            gap = (then.double() - again.double()).abs().max()
            return f"step {step}: tensor {name} differs in {int(different.sum())} of {then.numel()} values, by up to {gap:.3g}"
    return ""


def _bits(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).contiguous().view(torch.uint8)


def _changes(directory: Path, first: int) -> list[str]:
    """Say what was changed when the run was resumed, after the step that a replay began with."""
    return [
        f"it was resumed at step {entry['step']} with {' '.join(entry['changed'])}"
        for entry in rundir.read_json(directory / "run.json").get("resumed", [])
        if entry["step"] >= first
    ]


def reproduce(directory: Path, settings: Config, target: Path) -> Outcome:
    """Train a run again in a directory of its own, from its configuration alone, and compare all it wrote.

    Args:
        directory: The run's.
        settings: Its configuration.
        target: Where the new run goes; not there yet.

    Raises:
        CheckpointError: If there is no undamaged checkpoint to compare with, or the data are other ones.
        ConfigError: If the run follows the clock or was rewound.
    """
    repeatable(settings)
    saved, facts = checkpoint.newest(directory), rundir.read_json(directory / "run.json")
    used, end = facts.get("threads", {}).get("used"), saved.manifest["step"]
    _went_straight(saved)
    if not end:
        raise CheckpointError(f"{directory}: was stopped before its first step: nothing to reproduce")
    settings = session.as_before(settings, used)
    checkpoint.check_origin(assemble.assemble(settings), saved)
    finished = rundir.read_json(directory / "summary.json").get("outcome") == "finished"
    try:
        session.begin(
            replace(settings, loop=replace(settings.loop, stop_at_step=None if finished else end)),
            [],
            target,
            quiet=True,
        )
    except Interrupted:
        if checkpoint.newest(target).manifest["step"] != end:
            raise Interrupted("interrupted; the run is as it was") from None
    again = checkpoint.newest(target)
    difference, evaluations = _records(directory, target, end, tested=finished)
    expected = _payloads(saved)
    if not difference and again.manifest["step"] != end:
        difference = f"it ended at step {end}, now at step {again.manifest['step']}"
    difference = difference or unequal(expected, _payloads(again), end)
    causes = _causes(facts, rundir.read_json(target / "run.json")) + _changes(directory, 0) if difference else []
    return Outcome(0, end, evaluations, len(expected), difference, tuple(causes))


def _payloads(saved: Saved) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, those of the best weights too."""
    best = saved.tensors("best") if saved.manifest.get("best") else {}
    return saved.tensors("last") | {f"best {key}": value for key, value in best.items()}


def _records(before: Path, now: Path, end: int, *, tested: bool) -> tuple[str, int]:
    """Compare the evaluations of two runs; return the first difference, and how many are the same until there."""
    count = 0
    for kind in (False, True)[: 1 + tested]:
        then, again = ({row["step"]: row for row in _rows(path, 0, end, tested=kind)} for path in (before, now))
        for step in sorted(then.keys() | again.keys()):
            if difference := unlike(then.get(step), again.get(step)):
                return f"step {step}: {difference}", count
            count += 1
    return "", count


def _causes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say what differs in two run.json that results depend on."""

    def facts(record: Mapping[str, Any]) -> dict[str, Any]:
        chosen = {f"{name}'s version": version for name, version in record.get("versions", {}).items()}
        chosen |= {
            "trainctl's version": record.get("trainctl"),
            "the number of threads": record.get("threads", {}).get("used"),
        }
        chosen |= {
            "the commit": (record.get("git") or {}).get("commit"),
            "the data": record.get("data", {}).get("fingerprint"),
        }
        return chosen | {f"the {name}": record.get(name) for name in ("host", "processor", "device")}

    then, again = facts(before), facts(now)
    known = [name for name in then if None not in (then[name], again.get(name))]
    return [f"{name} was {then[name]}, is {again[name]}" for name in known if then[name] != again[name]]


def causes(outcome: Outcome) -> str:
    """Write the causes for a message."""
    return f"likely causes: {'; '.join(outcome.causes)}" if outcome.causes else NOTHING
