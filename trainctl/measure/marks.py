"""The phases of a step and their measurement: a step calls its mark with the name of each phase that begins."""

from collections.abc import Callable

import torch

PARTS = (
    "data", "compression", "augmentation", "scaling", "forward", "penalty", "backward", "metrics", "clipping", "optimizer",
    "projection", "averaging", "bookkeeping",
)  # fmt: skip


class Meter:
    """Attributes increments of a clock or a counter to the current phase.

    Args:
        read: Returns the current value of the clock or counter.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self.read, self.totals = read, dict[str, float]()
        self.part, self.last = "", 0.0

    def __call__(self, part: str) -> None:
        """Begin a phase; an empty name only ends the previous one."""
        now = self.read()
        if self.part:
            self.totals[self.part] = self.totals.get(self.part, 0.0) + now - self.last
        self.part, self.last = part, now

    def lap(self) -> dict[str, float]:
        """End the current phase; return the total of each phase, and reset the totals."""
        self("")
        totals, self.totals = self.totals, {}
        return totals


class Ranges:
    """Opens a named range of torch's profiler for each phase, and closes the previous one."""

    def __init__(self) -> None:
        self.open: torch.profiler.record_function | None = None

    def __call__(self, part: str) -> None:
        """Begin a phase; an empty name only ends the previous one."""
        if self.open is not None:
            self.open.__exit__(None, None, None)
        self.open = torch.profiler.record_function(part) if part else None
        if self.open is not None:
            self.open.__enter__()
