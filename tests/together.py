"""Runs that several forked processes train: begin, resume and compare them, and disturb one of the processes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tests import processes
from trainctl.finished import open as opening
from trainctl.finished.bitwise import tensor_difference, tensors_of
from trainctl.settings import compose, existing
from trainctl.step import eager as eager_module
from trainctl.store import restore, rundir
from trainctl.train import session

COMMON = ("output.plots=false", "threads=1", "seed=3")
# Iris has 106 training rows: with 20 in a batch, the last batch of an epoch has 6.
TINY = (*COMMON, "dataset=iris", "model=mlp", "model.hidden=[8]", "loop.batch_size=20", "loop.micro_batches=3",
        "loop.max_steps=12", "loop.eval_every_steps=5", "loop.eval_batch_size=7")  # fmt: skip
CLOCK = ("seconds", "samples_per_second")


def begin(path: Path, words: Sequence[str]) -> Callable[[], dict[str, Any]]:
    return lambda: session.begin(compose.compose(words), list(words), path)


def train(path: Path, size: int, words: Sequence[str]) -> list[Any]:
    return processes.run(size, begin(path, words))


def resume(path: Path, size: int, *words: str) -> list[Any]:
    def work() -> dict[str, Any]:
        settings = opening.configuration(path, [], words, existing.MAY_CHANGE)
        return session.resume(settings, list(words), path)

    return processes.run(size, work)


def rows(path: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in rundir.read_metrics(path, None)]


def same(one: Path, other: Path) -> bool:
    """Return whether two runs have the same evaluations, and the same bits in all tensors of their newest checkpoints."""
    saved = [restore.newest(path) for path in (one, other)]
    tensors: list[dict[str, Tensor]] = [tensors_of(each) for each in saved]
    return (
        rows(one) == rows(other)
        and saved[0].manifest.step == saved[1].manifest.step
        and not tensor_difference(*tensors, saved[0].manifest.step)
    )


def at_step(step: int, act: Callable[[], None], *, rank: int) -> None:
    """Do something in a process when it begins to compute a step."""
    own, batch_of = os.getpid(), eager_module.batch_of

    def changed(run: Any, compute: Any, mark: Any) -> Any:
        take = batch_of(run, compute, mark)

        def batch(*given: Any) -> Any:
            if run.state.step == step and run.world.rank == rank and os.getpid() != own:
                act()
            return take(*given)

        return batch

    eager_module.batch_of = changed
