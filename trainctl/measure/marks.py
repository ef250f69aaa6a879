"""The phases of a step, and what measures them: a step calls its mark with the name of the phase that begins."""

from collections.abc import Callable

import torch

PARTS = (
    "data", "augmentation", "scaling", "forward", "penalty", "backward", "metrics", "clipping", "optimizer",
    "projection", "averaging", "bookkeeping",
)  # fmt: skip


class Meter:
    """Attributes what a reading has grown by to the phase that was entered last.

    Args:
        read: Returns the reading: a clock's, or a counter's.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self.read, self.found = read, dict[str, float]()
        self.part, self.last = "", 0.0

    def __call__(self, part: str) -> None:
        """Enter a phase; an empty name enters none."""
        now = self.read()
        if self.part:
            self.found[self.part] = self.found.get(self.part, 0.0) + now - self.last
        self.part, self.last = part, now

    def lap(self) -> dict[str, float]:
        """Leave the phase, and return and forget what was found."""
        self("")
        found, self.found = self.found, {}
        return found


class Ranges:
    """Opens a named range of torch's profiler for each phase, and closes the one before."""

    def __init__(self) -> None:
        self.open: torch.profiler.record_function | None = None

    def __call__(self, part: str) -> None:
        """Enter a phase; an empty name enters none."""
        if self.open is not None:
            self.open.__exit__(None, None, None)
        self.open = torch.profiler.record_function(part) if part else None
        if self.open is not None:
            self.open.__enter__()
