"""Small runs, and their steps taken in one way or another."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainctl.run import assemble
from trainctl.run.rate import set_learning_rate
from trainctl.run.run import Run
from trainctl.settings import compose
from trainctl.step.eager import Step, eager
from trainctl.step.engine import Engine

SMALL = ("dataset=digits", "loop.batch_size=400", "loop.record=always", "output.plots=false")


def make(*overrides: str) -> Run:
    return assemble.assemble(compose.compose([*SMALL, *overrides]))


def tensors(run: Run) -> list[Tensor]:
    """Return all that a step may change."""
    state = [value for entry in run.optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
    parts = [*run.model.state_dict().values(), *run.average.model.state_dict().values(), *state]
    parts += run.teacher.changing_tensors.values()
    return [tensor.clone() for tensor in parts] + [run.sums.sums.clone(), torch.get_rng_state()]


def train(run: Run, take: Step, steps: int) -> list[Tensor]:
    for batch, _ in zip(run.order.batches(run.state.step), range(steps), strict=False):
        set_learning_rate(run)
        take(*batch)
        run.state.step += 1
    return tensors(run)


def both(
    *overrides: str, steps: int = 12, change: Callable[[Run], Run] = lambda run: run
) -> tuple[bool, Engine, list[str]]:
    """Train eagerly and with an engine; return whether all bits are the same, the engine, and what was noted."""
    run = change(make(*overrides))
    expected = train(run, eager(run), steps)
    notes: list[str] = []
    engine = Engine(change(make(*overrides)), notes.append)
    found = train(engine.run, engine.take, steps)
    return all(torch.equal(*pair) for pair in zip(expected, found, strict=True)), engine, notes


def replaced(run: Run, **parts: Any) -> Run:
    """Give a run, or its evaluation, other parts, which it knows from then on."""
    for name, part in parts.items():
        object.__setattr__(run if name in vars(run) else run.evaluation, name, part)
    return run
