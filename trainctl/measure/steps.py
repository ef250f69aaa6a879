"""Time training steps, repeated for a measurement."""

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import chain

import torch

from trainctl.machine import device
from trainctl.measure.marks import Meter
from trainctl.run.rate import set_learning_rate
from trainctl.run.run import Run
from trainctl.step.eager import Step, eager
from trainctl.step.part import Mark, ignore
from trainctl.train.budget import Clock, end_reason

WARM_UP = 5  # uncounted steps, in which allocators and caches fill, and the step is recorded and checked
BLOCKS = 5  # groups in which an accelerator's steps are timed, because the host does not wait for each step
MOST_SECONDS = 2.0  # longest time to measure one change [s]


def keep_weights(run: Run) -> None:
    """Set the learning rate permanently to 0, so that neither steps nor schedules change the weights.

    Then no measurement diverges, however long it is, and later measurements start from the same weights.
    """
    for group in run.optimizer.param_groups:
        group["lr"] = group["initial_lr"] = 0.0


def repeated(run: Run, take: Step, mark: Mark = ignore) -> Callable[[], None]:
    """Return a function that does what the training loop does for a step; restarts after the last planned step."""
    batches, clock = run.order.batches(run.state.step), Clock(run)

    def once() -> None:
        mark("data")
        batch = next(batches)
        mark("bookkeeping")
        set_learning_rate(run)
        take(*batch)
        run.state.step = (run.state.step + 1) % run.plan.total_steps  # schedules end there
        run.state.seconds = clock.seconds()
        end_reason(run)

    return once


def time_parts(run: Run, steps: int) -> dict[str, float]:
    """Return the median time of each phase of an eager step [s]; waits for the device between phases."""

    def now() -> float:
        device.synchronize(run.device)
        return time.perf_counter()

    meter = Meter(now)
    take, laps = repeated(run, eager(run, meter), meter), []
    for index in range(WARM_UP + steps):
        take()
        lap = meter.lap()
        laps += [lap] if index >= WARM_UP else []
    return {part: statistics.median(lap.get(part, 0.0) for lap in laps) for part in dict.fromkeys(chain(*laps))}


def time_steps(take: Callable[[], object], steps: int, target: torch.device) -> float:
    """Return the median time of steps without marks [s]."""
    warm_up(take)
    return statistics.median(laps(take, steps, target))


def warm_up(take: Callable[[], object]) -> None:
    """Take a few uncounted steps; fewer if they are slow, since a slow step has little to warm up."""
    begin = time.perf_counter()
    for _ in range(WARM_UP):
        take()
        if time.perf_counter() - begin > MOST_SECONDS:
            break


def laps(take: Callable[[], object], steps: int, target: torch.device) -> Iterator[float]:
    """Yield the time of each step [s]; on an accelerator the mean over a few steps, because waiting slows them down."""
    block = 1 if target.type == "cpu" else -(-steps // BLOCKS)
    device.synchronize(target)
    for _ in range(0, steps, block):
        start = time.perf_counter()
        for _ in range(block):
            take()
        device.synchronize(target)
        yield (time.perf_counter() - start) / block


def duel(
    first: Callable[[], object], second: Callable[[], object], steps: int, target: torch.device
) -> tuple[float, float]:
    """Return the median step times of two ways to train [s], measured alternately because a machine's speed varies."""
    times: tuple[list[float], list[float]] = ([], [])
    for take in (first, second):
        warm_up(take)
    begin = time.perf_counter()
    for _ in range(BLOCKS):
        for take, own in zip((first, second), times, strict=True):
            own += laps(take, -(-steps // BLOCKS), target)
        if time.perf_counter() - begin > MOST_SECONDS:
            break
    return statistics.median(times[0]), statistics.median(times[1])
