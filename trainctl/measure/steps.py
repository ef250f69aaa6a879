"""Steps as training takes them, repeated for a measurement, and their times."""

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

WARM_UP = 5  # steps that do not count: allocators and caches fill, the step is recorded and checked
BLOCKS = 5  # in which an accelerator's steps are timed, as it works on while the host is ahead
MOST_SECONDS = 2.0  # for one change that is tried


def keep_weights(run: Run) -> None:
    """Set the learning rate to 0 for good: steps, and schedules too, leave the weights as they are.

    So nothing diverges however long it is measured, and nothing that is measured later starts from spoilt weights.
    """
    for group in run.optimizer.param_groups:
        group["lr"] = group["initial_lr"] = 0.0


def repeated(run: Run, take: Step, mark: Mark = ignore) -> Callable[[], None]:
    """Return a function that does what the loop does for a step; after the last planned step it begins anew."""
    batches, clock = run.order.batches(run.state.step), Clock(run)

    def once() -> None:
        mark("data")
        inputs, targets = next(batches)
        mark("bookkeeping")
        set_learning_rate(run)
        take(inputs, targets)
        run.state.step = (run.state.step + 1) % run.plan.total_steps  # schedules end there
        run.state.seconds = clock.seconds()
        end_reason(run)

    return once


def time_parts(run: Run, steps: int) -> dict[str, float]:
    """Return the median time of each phase of an eager step [s]; an accelerator is waited for around each."""

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


def time_steps(take: Callable[[], object], steps: int, place: torch.device) -> float:
    """Return the median time of undisturbed steps [s]."""
    warm_up(take)
    return statistics.median(laps(take, steps, place))


def warm_up(take: Callable[[], object]) -> None:
    """Take a few steps that do not count; fewer of slow ones, which have little to warm up."""
    begin = time.perf_counter()
    for _ in range(WARM_UP):
        take()
        if time.perf_counter() - begin > MOST_SECONDS:
            break


def laps(take: Callable[[], object], steps: int, place: torch.device) -> Iterator[float]:
    """Yield the time of each step; on an accelerator, of a few in a row, as waiting for it disturbs them [s]."""
    block = 1 if place.type == "cpu" else -(-steps // BLOCKS)
    device.synchronize(place)
    for _ in range(0, steps, block):
        start = time.perf_counter()
        for _ in range(block):
            take()
        device.synchronize(place)
        yield (time.perf_counter() - start) / block


def duel(
    first: Callable[[], object], second: Callable[[], object], steps: int, place: torch.device
) -> tuple[float, float]:
    """Return the median step times of two ways to train [s], measured in turns: a machine's speed changes."""
    found: tuple[list[float], list[float]] = ([], [])
    for take in (first, second):
        warm_up(take)
    begin = time.perf_counter()
    for _ in range(BLOCKS):
        for take, times in zip((first, second), found, strict=True):
            times += laps(take, -(-steps // BLOCKS), place)
        if time.perf_counter() - begin > MOST_SECONDS:
            break
    return statistics.median(found[0]), statistics.median(found[1])
