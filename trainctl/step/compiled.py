"""A part of a batch computed by a model that torch.compile has translated, and what that costs."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from trainctl.errors import lacks_memory
from trainctl.machine.device import synchronize
from trainctl.run.run import Run
from trainctl.step.eager import differentiate
from trainctl.step.part import Compute, Part, Piece
from trainctl.step.recompute import draws
from trainctl.step.unchanged import unchanged
from trainctl.wording import agree, amount

# Largest difference from the eager gradient, as a fraction of its norm: kernels that are joined round in another order.
ROUNDING = {"fp32": 1e-3, "bf16": 2.0**-4, "fp16": 2.0**-6}
MOST_REASON = 200  # characters of an error of the compiler in a message


class Compiled:
    """Computes parts of a batch with a compiled model, or eagerly if it cannot be compiled or computes something else.

    The first part of each shape is computed both ways. Its times say after how many steps compiling pays for itself.

    Args:
        run: The run to train.
        note: Receives a line for the user.
    """

    def __init__(self, run: Run, note: Callable[[str], None]) -> None:
        self.run, self.note, self.eager = run, note, differentiate(run)
        self.fast = differentiate(
            run, forward=torch.compile(run.model, dynamic=False)
        )  # compiles when it is first called
        self.ready: set[Any] = set()
        self.reason = ""  # why steps are computed eagerly

    def __call__(self, piece: Piece) -> Part:
        """Compute a part."""
        # What else leads to another program: layers that are frozen later.
        kind = (piece.inputs.shape, self.run.freezer.held)
        if not self.reason and kind not in self.ready:
            self._prepare(piece)
            self.ready.add(kind)
        compute = self.eager if self.reason else self.fast
        return compute(piece)

    def _prepare(self, piece: Piece) -> None:
        """Compile for the shape of a part, compare the result, and say what it cost."""
        try:
            cost, found = self._timed(self.fast, piece, times=1)
        except (RuntimeError, MemoryError, OSError, ImportError) as error:  # those of the compiler are among them
            why = "out of memory" if lacks_memory(error) else _first_line(error)
            self._give_up(f"the model cannot be compiled ({why})")
            return
        slow, expected = self._timed(self.eager, piece)
        if not draws(self.run.model) and not alike(expected, found, ROUNDING[self.run.config.precision]):
            self._give_up("the compiled model gave different gradients from the eager one")
            return
        rows = amount(len(piece.inputs), "row")
        if self.ready:
            self.note(f"compiling the model for {rows} took {cost:.1f} s")
            return
        quick, _ = self._timed(self.fast, piece)
        parts, plan = self.run.config.loop.micro_batches, self.run.plan
        self.note(
            f"compiling the model for {rows} took {cost:.1f} s;"
            f" {worth(cost, parts * slow, parts * quick, None if plan.by_clock else plan.total_steps - self.run.state.step)}"
        )

    def _timed(self, compute: Compute, piece: Piece, times: int = 3) -> tuple[float, Part]:
        """Return the shortest time of some computations of a part [s], which have no consequences, and the last result."""
        seconds, part = math.inf, None
        for _ in range(times):
            with unchanged(self.run):
                synchronize(self.run.device)
                begin = time.perf_counter()
                part = compute(piece)
                synchronize(self.run.device)
                seconds = min(seconds, time.perf_counter() - begin)
        assert part is not None
        return seconds, part

    def _give_up(self, reason: str) -> None:
        self.reason = reason
        self.note(f"loop.compile=true: {reason}, so steps are computed eagerly")


def worth(cost: float, slow: float, quick: float, steps: int | None) -> str:
    """Say after how many steps compiling pays for itself.

    Args:
        cost: Its time [s].
        slow: The time of forward and backward pass in an eager step [s].
        quick: That in a compiled step [s].
        steps: Steps that are left of the run; None if only its time is limited.

    >>> worth(20.0, 0.004, 0.003, 50_000)
    'forward and backward pass take 3.00 ms instead of 4.00 ms: this pays for itself after 20,000 of 50,000 steps'
    >>> worth(20.0, 0.004, 0.003, 1_000)
    'forward and backward pass take 3.00 ms instead of 4.00 ms: this pays for itself after 20,000 steps, but only 1,000 are left'
    >>> worth(20.0, 0.004, 0.005, None)
    'forward and backward pass take 5.00 ms instead of 4.00 ms: it is not faster, so leave out loop.compile=true'
    """
    times = f"forward and backward pass take {1000 * quick:.2f} ms instead of {1000 * slow:.2f} ms"
    if quick >= slow:
        return f"{times}: it is not faster, so leave out loop.compile=true"
    needed = math.ceil(round(cost / (slow - quick), 6))
    if steps is None:
        return f"{times}: this pays for itself after {amount(needed, 'step')}"
    if needed > steps:
        return f"{times}: this pays for itself after {amount(needed, 'step')}, but only {steps:,} {agree(steps, 'is', 'are')} left"
    return f"{times}: this pays for itself after {needed:,} of {amount(steps, 'step')}"


def alike(one: Part, other: Part, rounding: float) -> bool:
    """Return whether two parts have the same loss and gradients, up to rounding; if one is not finite, nothing is said."""
    pairs = list(zip(one.gradients, other.gradients, strict=True))
    if any((a is None) != (b is None) for a, b in pairs):
        return False
    known = [(a.double(), b.double()) for a, b in [*pairs, (one.loss, other.loss)] if a is not None and b is not None]
    scale = math.sqrt(sum(float(a.square().sum()) for a, _ in known))
    apart = math.sqrt(sum(float((a - b).square().sum()) for a, b in known))
    return not math.isfinite(scale) or apart <= rounding * scale


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:MOST_REASON]
