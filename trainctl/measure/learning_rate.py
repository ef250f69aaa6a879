"""Measurements for choosing a learning rate and a batch size, on an assembled run in memory; nothing is written."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from trainctl.data.choose_order import largest_batch
from trainctl.errors import NonFiniteError, UnavailableError, lacks_memory
from trainctl.fileformat.waiting import counted
from trainctl.machine import memory
from trainctl.machine.device import synchronize
from trainctl.measure.steps import keep_weights
from trainctl.run.checks import smallest_part
from trainctl.run.model import batch_norms
from trainctl.run.run import Run
from trainctl.step import eager as step

WORSE = 4.0  # a range test ends when the loss exceeds this multiple of the lowest loss
SMOOTH_FRACTION = 0.02  # standard deviation of the smoothing, as a fraction of the steps
BELOW = 10.0  # the suggested rate is the one with the lowest loss, divided by this
ENOUGH = 0.95  # fraction of the highest speed above which gains cannot be distinguished from noise
LEAST_STEPS, MOST_STEPS = 3, 1000  # smallest and largest number of timed steps


# The learning rate.


@dataclass(frozen=True)
class Curve:
    """The result of a range test.

    Args:
        rates: Learning rate of each step, increasing.
        losses: Loss of each step, before its update.
        smoothed: Losses, smoothed over neighbouring steps.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]

    @property
    def lowest(self) -> int:
        """Index of the lowest smoothed loss."""
        return self.smoothed.index(min(self.smoothed))

    @property
    def steepest(self) -> int:
        """Index of the steepest fall of the smoothed loss per factor of the rate, before its minimum."""
        return min(range(max(1, self.lowest)), key=lambda index: self.smoothed[index + 1] - self.smoothed[index])

    @property
    def suggestion(self) -> float:
        """A tenth of the rate with the lowest loss, rounded to two digits; at that rate training almost diverges."""
        return float(f"{self.rates[self.lowest] / BELOW:.1e}")

    @property
    def fall(self) -> float:
        """Decrease of the smoothed loss, as a fraction of its first value."""
        return (self.smoothed[0] - self.smoothed[self.lowest]) / abs(self.smoothed[0]) if self.smoothed[0] else 0.0


def range_test(run: Run, min_lr: float, max_lr: float, steps: int) -> Curve:
    r"""Train on consecutive batches while the learning rate rises exponentially; stop when the loss diverges.

    .. math:: \eta_i = \eta_\text{min} (\eta_\text{max} / \eta_\text{min})^{i / (n - 1)}

    The schedule is not used; augmentation, regularizers, clipping and everything else are as in training. The loss is
    smoothed by a Gaussian over neighbouring steps, which unlike a running mean does not lag behind the rate.

    Args:
        run: A run that was just assembled; its weights are useless afterwards.
        min_lr: Rate of the first step.
        max_lr: Rate of the last step.
        steps: Number of steps, at least two.

    Source: L. Smith, Cyclical learning rates for training neural networks, WACV 2017, section 3.3. The exponential
    increase, the end at four times the lowest loss (if above the first loss) and the suggestion of a tenth of the rate
    with the lowest loss follow S. Gugger, How do you find a good learning rate, 2018.
    """
    take_step, batches = step.eager(run), run.order.batches(run.state.step)
    base = run.config.parts["optimizer"]["lr"]
    shares = [group["lr"] / base for group in run.optimizer.param_groups]  # groups may have different rates
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    trials = counted(range(steps), "searching for the learning rate", steps, "steps")
    for index, batch in zip(trials, batches, strict=False):
        rate = min_lr * (max_lr / min_lr) ** (index / (steps - 1))
        for group, share in zip(run.optimizer.param_groups, shares, strict=True):
            group["lr"] = rate * share
        try:
            take_step(*batch)
        except NonFiniteError:
            break
        run.state.step += 1
        loss = run.sums.values()["loss"]
        run.sums.reset()
        if not math.isfinite(loss):
            break
        rates.append(rate)
        losses.append(loss)
        smoothed = smooth(losses, steps * SMOOTH_FRACTION)
        if smoothed[-1] > max(WORSE * min(smoothed), smoothed[0]) and index >= steps * SMOOTH_FRACTION:
            break
    return Curve(rates, losses, smoothed)


def smooth(values: Sequence[float], deviation: float) -> list[float]:
    """Average each value with its neighbours, weighted by a Gaussian of this standard deviation [indices].

    >>> [round(value, 2) for value in smooth([0, 0, 1, 0, 0], 1.0)]
    [0.08, 0.26, 0.4, 0.26, 0.08]
    """
    reach = math.ceil(3 * deviation)
    means = []
    for index in range(len(values)):
        window = range(max(0, index - reach), min(len(values), index + reach + 1))
        weights = [math.exp(-0.5 * ((other - index) / deviation) ** 2) for other in window]
        means.append(sum(w * values[other] for w, other in zip(weights, window, strict=True)) / sum(weights))
    return means


# The batch size.


@dataclass(frozen=True)
class Speed:
    """The measured speed for one batch size.

    Args:
        size: Rows in an optimizer step.
        seconds: Mean time of a step [s].
        fits: Whether there was enough memory; if not, ``seconds`` is NaN.
    """

    size: int
    seconds: float
    fits: bool = True

    @property
    def rate(self) -> float:
        """Rows trained per second."""
        return self.size / self.seconds


def batch_sizes(run: Run, most: int | None) -> list[int]:
    """Return the sizes to try: powers of two up to the training split that give every batch norm at least two rows."""
    rows = len(run.data.splits["train"])
    normed = bool(batch_norms(run.model))
    sizes = [
        2**power
        for power in range(rows.bit_length())
        if 2**power <= min(most or rows, largest_batch(run.data.splits["train"]))
    ]
    return [size for size in sizes if not normed or smallest_part(rows, size, run.config.loop.micro_batches) > 1]


def speeds(run: Run, sizes: Sequence[int], seconds: float) -> Iterator[Speed]:
    """Measure optimizer steps with each batch size, smallest first, until memory runs out.

    Args:
        run: A run that was just assembled.
        sizes: Rows in a step, increasing.
        seconds: Approximate time to measure each size [s]; at least three steps are measured.

    Yields:
        One result for each size; the last may be a size for which there was not enough memory.
    """
    take_step = step.eager(run)
    keep_weights(run)
    free, before = memory.free(run.device), memory.peak()
    for size in counted(sizes, "searching for the batch size", len(sizes), "sizes"):
        # Linux grants more memory than it has and kills the process that uses it, so predict: twice the rows need twice
        # the memory.
        if 2 * (memory.peak() - before) > free:
            yield Speed(size, math.nan, fits=False)
            return
        try:
            speed = Speed(size, _time_steps(run, take_step, next(resized(run, size).order.batches(0)), seconds))
        except (RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            speed = Speed(size, math.nan, fits=False)
        run.optimizer.zero_grad()
        yield speed
        if not speed.fits:
            return


def resized(run: Run, size: int) -> Run:
    """Return the run with batches of another size; with rows without a label, as many more as before."""
    factor = run.plan.unlabeled_size / run.plan.batch_size
    return replace(run, plan=replace(run.plan, batch_size=size, unlabeled_size=round(factor * size)))


def suggest(measured: Sequence[Speed]) -> Speed:
    """Return the smallest batch that trains nearly as many rows per second as the fastest one.

    Raises:
        UnavailableError: If no size fits in memory.
    """
    fitting = [speed for speed in measured if speed.fits]
    if not fitting:
        raise UnavailableError("not enough memory even for the smallest batch size: use a smaller model")
    fastest = max(speed.rate for speed in fitting)
    return next(speed for speed in fitting if speed.rate >= ENOUGH * fastest)


def _time_steps(run: Run, take_step: step.Step, batch: tuple[Tensor, ...], seconds: float) -> float:
    """Return the mean time of an optimizer step on one batch [s], without the first steps, which warm up."""

    def take(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            take_step(*batch)
            run.state.step += 1
        synchronize(run.device)  # the host does not wait for a GPU after each step
        return (time.perf_counter() - start) / count

    take(1)
    rough = take(LEAST_STEPS)
    return rough if rough * LEAST_STEPS > seconds else take(max(LEAST_STEPS, min(MOST_STEPS, int(seconds / rough))))
