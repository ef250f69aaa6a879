"""Where the numbers of an axis are, and which of them are written. Pure functions; imports no torch."""

import math
from dataclasses import dataclass

MOST_DECADES = 6  # that are written


@dataclass(frozen=True)
class Axis:
    """An axis of a drawing.

    Args:
        low: The number at its beginning.
        high: The number at its end.
        start: Place of its beginning [units of the drawing].
        end: Place of its end.
        log: Whether it is logarithmic.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return the place of a number; of one that a logarithmic axis does not have, NaN."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return math.nan
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def inside(self, value: float) -> bool:
        """Return whether a number is on the axis, which may end before it."""
        tolerance = 1e-9 * abs(self.high - self.low)
        return self.low - tolerance <= value <= self.high + tolerance

    def ticks(self, most: int) -> list[float]:
        """Return the numbers to write, at most so many."""
        return decades(self.low, self.high) if self.log else steps(self.low, self.high, most)


def steps(low: float, high: float, most: int) -> list[float]:
    """Return round numbers in a range, evenly spaced.

    >>> steps(0.0, 1.0, 6), steps(-3.0, 12.0, 4), steps(1.0, 1.0, 4)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 5.0, 10.0], [1.0])
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    size = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / size - 1e-9)
    last = math.floor(high / size + 1e-9)
    return [round(number * size, 12 - math.floor(math.log10(size))) + 0.0 for number in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Return powers of ten in a range, with 2 and 5 between them if there are few.

    >>> decades(0.5, 200.0), decades(1.0, 9.0)
    ([1.0, 10.0, 100.0], [1.0, 2.0, 5.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / MOST_DECADES))
    found = [10.0**power for power in range(first, last + 1, every) if low <= 10.0**power <= high]
    if len(found) > 1:
        return found
    return [
        factor * 10.0**power
        for power in range(first, last + 1)
        for factor in (1, 2, 5)
        if low <= factor * 10.0**power <= high
    ]


def written(value: float) -> str:
    """Return a number as it is written at an axis.

    >>> [written(value) for value in (0.0, 0.25, 1500.0, 2e6, 1e-5)]
    ['0', '0.25', '1,500', '2e+06', '1e-05']
    """
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
