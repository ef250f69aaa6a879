"""Where the time of a step goes, on an assembled run in memory; nothing is written."""

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainctl.machine import device, memory
from trainctl.measure import flops
from trainctl.measure.marks import Meter
from trainctl.measure.steps import MOST_SECONDS, keep_weights, repeated, time_parts, time_steps
from trainctl.measure.trials import Trial, evaluation_trials, trials
from trainctl.report.files import Files
from trainctl.report.plain import Plain
from trainctl.run import factory
from trainctl.run.reporter import MultiReporter, Reporter, Row
from trainctl.run.run import Run
from trainctl.step.eager import eager
from trainctl.step.engine import Engine
from trainctl.step.part import Mark, ignore
from trainctl.store import checkpoint
from trainctl.train import loop
from trainctl.train.budget import Clock

LARGE = 0.2  # share of the time from which on something is looked at
MOST_EVALUATIONS = 3
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Profile:
    """What was measured; times are medians [s].

    Args:
        rows: In a step.
        steps_per_epoch: Optimizer steps in an epoch.
        eval_every: Optimizer steps between evaluations.
        parts: Time of each part of an eager step; ``augmentation:crop`` is a share of a part.
        whole: Time of a step as training takes it.
        recorded: Whether that was a recording.
        engine: How training takes a step, and if that is not the fastest way, why.
        evaluation: Time of one evaluation.
        reporting: Time of telling the reporters and writing their files, for one evaluation.
        checkpoint: The same of a checkpoint, which may be due more rarely.
        flops: Floating-point operations of matrix products and convolutions in each part of a step.
        uncounted: Operations with such products that nobody has counted.
        peak: Operations a second in a large matrix product.
        peak_size: Its rows and columns.
        memory: Bytes, by what takes them.
        trials: Changes that were tried.
    """

    rows: int
    steps_per_epoch: int
    eval_every: int
    parts: Mapping[str, float]
    whole: float
    recorded: bool
    engine: str
    evaluation: float
    reporting: float
    checkpoint: float
    flops: Mapping[str, float]
    uncounted: Sequence[str]
    peak: float
    peak_size: int
    memory: Mapping[str, float]
    trials: Sequence[Trial]

    def part(self, name: str) -> float | None:
        """Return the time of a part with all its shares [s]; None if no step has it."""
        found = [value for key, value in self.parts.items() if key.partition(":")[0] == name]
        return sum(found) if found else None

    @property
    def eager(self) -> float:
        """The sum of the parts [s]."""
        return sum(self.parts.values())

    @property
    def achieved(self) -> float | None:
        """Operations a second in a whole step; None if some were not counted."""
        return None if self.uncounted else sum(self.flops.values()) / self.whole


def measure(run: Run, steps: int) -> Profile:
    """Measure a run's steps in parts and as a whole, its evaluation and reporting, and changes that may be faster.

    Args:
        run: Freshly assembled.
        steps: To measure of each kind, after a few that warm up.

    Raises:
        NonFiniteError: If the loss of the initial weights is not finite.
    """
    keep_weights(run)
    resident = memory.peak()
    parts = time_parts(run, steps)
    engine = Engine(run, ignore)  # it says itself what it would note
    take = repeated(run, engine.take)
    whole = time_steps(take, steps, run.device)
    taken = memory.peak() - resident
    found, uncounted = count_flops(run)
    evaluating, reporting, saving = time_look(run, take)
    held = measure_memory(run)
    peak, size = flops.peak(DTYPES[run.config.precision], run.device)
    slow = evaluating > LARGE * (evaluating + run.plan.eval_every * whole)
    return Profile(
        rows=run.plan.batch_size,
        steps_per_epoch=run.plan.steps_per_epoch,
        eval_every=run.plan.eval_every,
        parts=parts,
        whole=whole,
        recorded=engine.recorded,
        engine=str(engine),
        evaluation=evaluating,
        reporting=reporting,
        checkpoint=saving * _share_due(run, run.plan.eval_every * whole + evaluating),
        flops=found,
        uncounted=uncounted,
        peak=peak,
        peak_size=size,
        memory=held,
        trials=[*trials(run, engine.recorded, steps, taken), *(evaluation_trials(run) if slow else ())],
    )


def _share_due(run: Run, seconds: float) -> float:
    """Return at which share of the evaluations a checkpoint is written, if they come that many seconds apart."""
    every = run.config.checkpoint.every_seconds
    return 1.0 if every <= seconds else seconds / every


# What else a run does.


class Border(Reporter):
    """Marks, among reporters that are told an evaluation one after the other, where a phase begins."""

    def __init__(self, mark: Mark, part: str) -> None:
        self.mark, self.part = mark, part

    def evaluation(self, row: Row) -> None:
        """Mark the phase."""
        self.mark(self.part)


def time_look(run: Run, take: Callable[[], object]) -> tuple[float, float, float]:
    """Return the median times of one evaluation, of reporting it and of a checkpoint [s], in a temporary directory."""
    meter, found = Meter(time.perf_counter), list[dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        loggers = factory.members(run.config, "logger", directory=directory)
        timed = (Files(directory, loggers), Plain(io.StringIO()))
        reporter = MultiReporter(Border(meter, "reporting"), *timed, Border(meter, "evaluation"))
        try:
            reporter.start(run, directory, [])
            begin = time.perf_counter()
            while len(found) < MOST_EVALUATIONS and time.perf_counter() - begin < MOST_SECONDS:
                take()
                device.synchronize(run.device)
                meter("evaluation")
                loop.look(run, reporter, Clock(run))
                device.synchronize(run.device)
                meter("checkpoint")
                checkpoint.save(run, directory)
                found.append(meter.lap())
        finally:
            reporter.close()
    medians = [statistics.median(lap[part] for lap in found) for part in ("evaluation", "reporting", "checkpoint")]
    return medians[0], medians[1], medians[2]


def measure_memory(run: Run) -> dict[str, float]:
    """Return what takes memory [bytes]."""
    weights = {id(tensor): tensor for tensor in chain(run.model.parameters(), run.model.buffers())}
    average = [] if run.average.model is run.model else [*run.average.model.parameters(), *run.average.model.buffers()]
    optimizer = [entry for state in run.optimizer.state.values() for entry in state.values()]
    found = {"peak of the process": memory.peak()}
    if run.device.type == "cuda":
        found["peak on the device"] = float(torch.cuda.max_memory_allocated(run.device))
    found["data"] = float(sum(rows.nbytes for rows in run.data.splits.values()))
    sizes: dict[str, Iterable[Any]] = {
        "weights": weights.values(),
        "averaged weights": average,
        "optimizer": optimizer,
    }
    found |= {name: float(sum(one.nbytes for one in held if isinstance(one, Tensor))) for name, held in sizes.items()}
    return {name: size for name, size in found.items() if size}


# Arithmetic.


def count_flops(run: Run) -> tuple[dict[str, float], list[str]]:
    """Return the operations of each part of one step on a whole batch, and the names of those that nobody counts.

    A multiplication and an addition are two; what is done element by element is left out.
    """
    run.state.step = 0  # an epoch's last batch may be smaller
    counter, unknown = flops.counter(), flops.Uncounted()
    meter = Meter(counter.get_total_flops)
    take = repeated(run, eager(run, meter), meter)
    with counter, unknown:
        take()
        found = meter.lap()
    return {part: value for part, value in found.items() if value}, sorted(unknown.names)


def describe(run: Run) -> str:
    """Name what was measured: model, data, device, precision."""
    parts = run.config.parts
    rows = len(run.data.splits["train"])
    return (
        f"model={parts['model']['name']} dataset={parts['dataset']['name']} optimizer={parts['optimizer']['name']},"
        f" {run.plan.batch_size:,} of {rows:,} rows a step, {device.name(run.device, run.threads)}, {run.config.precision}"
    )
