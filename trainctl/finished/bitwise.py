"""Compare a run with its repetition, bit by bit: evaluations, tensors, and likely causes of a difference.

For `verify` and `reproduce`; `compare` shows :mod:`trainctl.finished.differing` settings, and whether the results of different
runs differ by more than chance (:mod:`trainctl.finished.distinguish`).
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainctl.errors import CheckpointError, ConfigError
from trainctl.finished.open import Finished
from trainctl.run.reporter import Row
from trainctl.run.run import Plan
from trainctl.settings.config import Config
from trainctl.store import records, restore, rundir
from trainctl.store.manifest import Saved
from trainctl.store.runpath import AnyPath
from trainctl.wording import amount, shell_words

CLOCK = ("seconds", "samples_per_second")  # measured by the wall clock, and different in each run
SMALLEST = 1e-9  # norm of a tensor of which a difference is a fraction
SECONDS = ("seconds", "evaluated_seconds")  # fields of a state that are measured by the wall clock


@dataclass(frozen=True)
class Allowed:
    """How far a repetition may be from its run.

    Args:
        fraction: Largest difference of a metric, as a fraction of its value or of 1, and of a tensor, as a fraction of its
            norm; 0: all bits must be the same.
        unsettled: Tensors that are not compared, because rounding alone determines them: names, or ``optimizer.INDEX``.
    """

    fraction: float = 0.0
    unsettled: frozenset[str] = frozenset()


EXACT = Allowed()


@dataclass(frozen=True)
class Comparison:
    """The result of comparing a run with its repetition.

    Args:
        start: Step at which the repetition began [optimizer steps].
        end: Step at which it ended [optimizer steps].
        evaluations: Number of equal evaluations.
        tensors: Number of tensors compared; 0 if no checkpoint of the last step is kept.
        difference: Description of the first difference; empty if all bits are the same.
        causes: Changes since the run that may explain the difference.
        notes: Notes for the user, one line each.
        allowed: How far numbers may be apart, see :class:`Allowed`; 0 if all bits must be the same.
    """

    start: int
    end: int
    evaluations: int
    tensors: int
    difference: str = ""
    causes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    allowed: float = 0.0

    @property
    def extent(self) -> str:
        """Describe what was compared, for a message."""
        if not self.end and self.tensors:
            return amount(self.tensors, "tensor")
        evaluations = amount(self.evaluations, "evaluation")
        without = f"no tensors, as no checkpoint of step {self.end} is kept"
        return f"{evaluations}, {amount(self.tensors, 'tensor') if self.tensors else without}"

    @property
    def kind(self) -> str:
        """Describe how the two are compared, for a message."""
        return f"the same within {self.allowed:g} (distributed.shard=true)" if self.allowed else "bit-identical"

    @property
    def explanation(self) -> str:
        """Describe the likely causes, for a message."""
        return f"likely causes: {'; '.join(self.causes)}" if self.causes else "run.json shows no cause"


def require_repeatable(settings: Config) -> None:
    """Check that the results of a run do not depend on the wall clock.

    Raises:
        ConfigError: If they do.
    """
    if settings.loop.max_seconds is not None:
        raise ConfigError(
            f"loop.max_time={settings.loop.max_time}: a run that depends on the wall clock is not reproducible"
        )
    if settings.parts["early_stopping"]["name"] == "time":
        raise ConfigError("early_stopping=time: a run that depends on the wall clock is not reproducible")


def require_no_rewind(saved: Saved, first: Saved | None = None) -> None:
    """Check that a run did not rewind between two states: which checkpoint it went back to depends on the wall clock.

    Args:
        saved: The state at which the repetition ends.
        first: The state at which the repetition begins; None for the start of the run.

    Raises:
        ConfigError: If the run went back to a checkpoint.
    """
    if (count := rewinds(saved)) != (rewinds(first) if first else 0):
        raise ConfigError(
            f"loop.on_nonfinite=rewind: the run went back {amount(count, 'time')}, to a checkpoint that depends on the wall"
            " clock, which is not reproducible"
        )


def rewinds(saved: Saved) -> int:
    """Return how often a run went back to a checkpoint."""
    return int(saved.manifest.state.get("rewinds", 0))


def newest_evaluated(run: Finished, plan: Plan) -> Saved:
    """Return the newest checkpoint that was not saved inside an evaluation: a repetition does not stop inside one.

    Raises:
        CheckpointError: If there is no such checkpoint.
    """
    if not pending(run.saved, plan):
        return run.saved
    evaluated = [saved for saved in restore.kept(run.directory)[0] if not pending(saved, plan)]
    if not evaluated:
        raise CheckpointError(
            f"{run.directory}: was stopped inside an evaluation; first run: {shell_words(['trainctl', 'resume', str(run.directory)])}"
        )
    return evaluated[-1]


def pending(saved: Saved, plan: Plan) -> bool:
    """Return whether a run was saved inside the evaluation of its step."""
    step = saved.manifest.step
    return saved.manifest.evaluated < step and (step % plan.eval_every == 0 or step >= plan.total_steps)


def recorded(directory: AnyPath, first: int, last: int, *, tested: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the recorded evaluations after step ``first`` up to ``last``, or, if ``tested``, the test metrics."""
    for row in rundir.read_metrics(directory, last):
        if (row["step"] > first or tested) and tested == any(key.startswith("test/") for key in row):
            yield row


def row_difference(before: Row | None, now: Row | None, allowed: Allowed = EXACT) -> str:
    """Describe the first difference between two records of one evaluation; return an empty text if there is none."""
    if before is None or now is None:
        return "metrics.jsonl has no such evaluation" if before is None else "it was not evaluated again"
    before, now = (json.loads(rundir.line(row)) for row in (before, now))
    for key in dict.fromkeys([*before, *now]):
        if key not in CLOCK and not alike(before.get(key), now.get(key), allowed):
            return f"{key} was {before.get(key)}, is now {now.get(key)}"
    return ""


def alike(before: Any, now: Any, allowed: Allowed) -> bool:
    """Return whether two values of JSON are the same, or their numbers are not further apart than is allowed."""
    if (same := json.dumps(before) == json.dumps(now)) or not allowed.fraction:  # NaN, too, is the same as NaN
        return same
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and all(alike(before[key], now[key], allowed) for key in before)
    if isinstance(before, list) and isinstance(now, list | tuple):
        return len(before) == len(now) and all(alike(*pair, allowed) for pair in zip(before, now, strict=True))
    if not (isinstance(before, float) and isinstance(now, float)):
        return False
    return math.isclose(before, now, rel_tol=allowed.fraction, abs_tol=allowed.fraction)


def tensor_difference(
    before: Mapping[str, Tensor], now: Mapping[str, Tensor], step: int, allowed: Allowed = EXACT
) -> str:
    """Describe the first tensor that differs in any bit, or by more than is allowed; return an empty text if none does."""
    added = [
        name for name in now if name not in before and not name.startswith("random.")
    ]  # older checkpoints contain fewer random states
    for name in (*before, *added):
        if name not in before or name not in now:
            return f"step {step}: tensor {name} {'exists only now' if name in now else 'no longer exists'}"
        then, again = before[name], now[name].detach().cpu()
        if then.shape != again.shape or then.dtype != again.dtype:
            kinds = [f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in (then, again)]
            return f"step {step}: tensor {name} was {kinds[0]}, is now {kinds[1]}"
        if {name, name.rpartition(".")[0]} & allowed.unsettled:
            continue
        if allowed.fraction and then.is_floating_point():
            if not (apart := _distance(then, again)) <= allowed.fraction:  # it may be NaN
                return f"step {step}: tensor {name} differs by {apart:.2g} of its norm"
            continue
        different = (_bits(then) != _bits(again)).view(then.numel(), -1).any(1) if then.numel() else torch.zeros(0)
        if different.any():
            gap = (then.double() - again.double()).abs().max()
            values = f"{int(different.sum())} of {amount(then.numel(), 'value')}"
            return f"step {step}: tensor {name} differs in {values}, by up to {gap:.3g}"
    return ""


def _distance(one: Tensor, other: Tensor) -> float:
    """Return the distance of two tensors as a fraction of the first one's norm; 0 if all bits are the same."""
    if torch.equal(_bits(one), _bits(other)):
        return 0.0
    return float((one.double() - other.double()).norm() / one.double().norm().clamp(min=SMALLEST))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).contiguous().view(torch.uint8)


def tensors_of(saved: Saved) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, with those of the best weights under ``best <name>``."""
    best = saved.tensors("best") if saved.manifest.best else {}
    return saved.tensors("last") | {f"best {key}": value for key, value in best.items()}


def resumed_with(directory: AnyPath, first: int) -> list[str]:
    """Describe the settings that changed when the run was resumed at step ``first`` or later, one line each."""
    return [
        f"it was resumed at step {entry.step} with {' '.join(entry.changed)}"
        for entry in records.read_facts(directory).resumed
        if entry.step >= first
    ]
