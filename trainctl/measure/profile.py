"""Profile the steps of an assembled run in memory; nothing is written to its directory."""

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
from trainctl.measure.footprint import Footprint, footprints
from trainctl.measure.marks import Meter
from trainctl.measure.steps import MOST_SECONDS, keep_weights, repeated, time_parts, time_steps
from trainctl.measure.trials import Trial, evaluation_trials, trials
from trainctl.report.files import Files
from trainctl.report.plain import Plain
from trainctl.run.reporter import MultiReporter, Reporter, Row
from trainctl.run.run import Run
from trainctl.step.eager import eager
from trainctl.step.engine import Engine
from trainctl.step.fused import trained_parameters
from trainctl.step.part import Mark, ignore
from trainctl.store import checkpoint
from trainctl.train import loop
from trainctl.train.budget import Clock
from trainctl.wording import amount

LARGE = 0.2  # fraction of the time above which the evaluation is worth a trial
MOST_EVALUATIONS = 3
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Profile:
    """The measurements; times are medians [s].

    Args:
        rows: Rows in a step.
        steps_per_epoch: Optimizer steps in an epoch.
        eval_every: Optimizer steps between evaluations.
        parts: Time of each part of an eager step; a part can have several entries, such as ``augmentation:crop``.
        whole: Time of a step of the kind that training takes.
        recorded: Whether training takes recorded steps.
        engine: How training takes a step and, if that is not the fastest way, why.
        evaluation: Time of one evaluation.
        reporting: Time of reporting one evaluation, including writing the files.
        checkpoint: Time of writing a checkpoint, per evaluation; there may be fewer checkpoints than evaluations.
        flops: Floating-point operations of matrix products and convolutions in each part of a step.
        uncounted: Names of operations with matrix products that could not be counted.
        peak: Operations per second in a large matrix product.
        peak_size: Number of rows, and of columns, of its matrices.
        memory: Memory for each purpose [bytes].
        footprints: What a step takes in addition, as it is and with activations that are kept or computed again.
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
    footprints: Sequence[Footprint]
    trials: Sequence[Trial]

    def part(self, name: str) -> float | None:
        """Return the total time of a part [s]; None if the step does not have this part."""
        times = [value for key, value in self.parts.items() if key.partition(":")[0] == name]
        return sum(times) if times else None

    @property
    def eager(self) -> float:
        """Time of an eager step: the sum of its parts [s]."""
        return sum(self.parts.values())

    @property
    def achieved(self) -> float | None:
        """Operations per second in a whole step; None if some could not be counted."""
        return None if self.uncounted else sum(self.flops.values()) / self.whole


def measure(run: Run, steps: int) -> Profile:
    """Measure a run's steps in parts and as a whole, its evaluation and reporting, and changes that may be faster.

    Args:
        run: A run that was just assembled.
        steps: Number of steps to measure of each kind, after a few to warm up.

    Raises:
        NonFiniteError: If the loss of the initial weights is not finite.
    """
    keep_weights(run)
    resident = memory.peak()
    parts = time_parts(run, steps)
    engine = Engine(run, ignore)  # str(engine) contains what it would report
    take = repeated(run, engine.take)
    whole = time_steps(take, steps, run.device)
    taken = memory.peak() - resident
    operations, uncounted = count_flops(run)
    evaluating, reporting, saving = time_look(run, take)
    sizes = measure_memory(run)
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
        flops=operations,
        uncounted=uncounted,
        peak=peak,
        peak_size=size,
        memory=sizes,
        footprints=footprints(run, steps),
        trials=[*trials(run, engine.recorded, steps, taken), *(evaluation_trials(run) if slow else ())],
    )


def _share_due(run: Run, seconds: float) -> float:
    """Return the fraction of evaluations after which a checkpoint is written, from the time between evaluations [s]."""
    every = run.config.checkpoint.every_seconds
    return 1.0 if every <= seconds else seconds / every


# Evaluation, reporting, checkpoints and memory.


class Border(Reporter):
    """A reporter that marks the beginning of a phase when it receives an evaluation; placed between other reporters."""

    def __init__(self, mark: Mark, part: str) -> None:
        self.mark, self.part = mark, part

    def evaluation(self, row: Row) -> None:
        """Mark the beginning of the phase."""
        self.mark(self.part)


def time_look(run: Run, take: Callable[[], object]) -> tuple[float, float, float]:
    """Return the median times of an evaluation, of reporting it, and of a checkpoint [s]; uses a temporary directory."""
    meter, laps = Meter(time.perf_counter), list[dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        timed = (Files(directory, []), Plain(io.StringIO()))  # no loggers: they would record a run that is none
        reporter = MultiReporter(Border(meter, "reporting"), *timed, Border(meter, "evaluation"))
        try:
            reporter.start(run, directory, [])
            begin = time.perf_counter()
            while len(laps) < MOST_EVALUATIONS and time.perf_counter() - begin < MOST_SECONDS:
                take()
                device.synchronize(run.device)
                meter("evaluation")
                loop.look(run, reporter, Clock(run))
                device.synchronize(run.device)
                meter("checkpoint")
                checkpoint.save(run, directory)
                laps.append(meter.lap())
        finally:
            reporter.close()
    medians = [statistics.median(lap[part] for lap in laps) for part in ("evaluation", "reporting", "checkpoint")]
    return medians[0], medians[1], medians[2]


def measure_memory(run: Run) -> dict[str, float]:
    """Return the memory for each purpose, without those that take none [bytes]."""
    weights = {id(tensor): tensor for tensor in chain(run.model.parameters(), run.model.buffers())}
    average = [] if run.average.model is run.model else [*run.average.model.parameters(), *run.average.model.buffers()]
    optimizer = [entry for state in run.optimizer.state.values() for entry in state.values()]
    sizes = {"peak of the process": memory.peak()}
    if run.device.type == "cuda":
        sizes["peak on the device"] = float(torch.cuda.max_memory_allocated(run.device))
    sizes["data"] = float(
        sum(rows.nbytes if rows.resident else rows.targets.nbytes for rows in run.data.splits.values())
    )
    groups: dict[str, Iterable[Any]] = {
        "weights": weights.values(),
        "averaged weights": average,
        "gradients": [each.grad for each in trained_parameters(run.optimizer)],
        "optimizer": optimizer,
    }
    sizes |= {
        name: float(sum(one.nbytes for one in group if isinstance(one, Tensor))) for name, group in groups.items()
    }
    return {name: size for name, size in sizes.items() if size}


# Arithmetic.


def count_flops(run: Run) -> tuple[dict[str, float], list[str]]:
    """Return the number of operations in each part of a step, and the names of operations that could not be counted.

    The step has a full batch. A multiplication and an addition count as two; elementwise operations are not counted.
    """
    run.state.step = 0  # the first step, because the last batch of an epoch may be smaller
    counter, unknown = flops.counter(), flops.Uncounted()
    meter = Meter(counter.get_total_flops)
    take = repeated(run, eager(run, meter), meter)
    with counter, unknown:
        take()
        counts = meter.lap()
    return {part: count for part, count in counts.items() if count}, sorted(unknown.names)


def describe(run: Run) -> str:
    """Describe what was measured: model, data, device and precision."""
    parts = run.config.parts
    rows = len(run.data.splits["train"])
    return (
        f"model={parts['model']['name']} dataset={parts['dataset']['name']} optimizer={parts['optimizer']['name']},"
        f" {run.plan.batch_size:,} of {amount(rows, 'row')} a step, {device.name(run.device, run.threads)}, {run.config.precision}"
    )
