"""The axis of a setting in a plot: logarithmic, linear, or one place for each category. Imports no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from trainctl.report import figure, phrases
from trainctl.sweep.importance import numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TICKS = 12
FEW_TICKS = 6  # values of a number that are all written
CROWDED = 0.14  # distance of values on an axis, as a fraction of it, below which their texts are turned
RATIO = 5.0  # of the largest to the smallest value, from which on an axis may be logarithmic
MISSING = "(default)"  # the value of a setting that does not apply, or is not set, at a point


@dataclass(frozen=True)
class Scale:
    """How values are placed along an axis.

    Args:
        kind: A category has a place of its own, in order of appearance or size.
        values: The different values; as they are typed.
        low: The smallest number; of categories -0.5.
        high: The largest number.
    """

    kind: Literal["log", "linear", "category"]
    values: tuple[str, ...]
    low: float
    high: float

    def place(self, text: str) -> float:
        """Return where a value is on the axis, in its units; NaN where it has no number."""
        if self.kind == "category":
            return float(self.values.index(text))
        return float(text) if text else math.nan

    def spread(self, column: Sequence[str]) -> list[float]:
        """Return where each value is; equal ones are spread a little, so that their points can be seen."""
        seen: dict[str, int] = {}
        places = []
        for text in column:
            count = seen[text] = seen.get(text, 0) + 1
            offset = max(-0.3, min(0.3, 0.03 * (count // 2) * (1 if count % 2 else -1)))  # of the space of a value
            share = offset / len(self.values)
            if self.kind == "category":
                places.append(self.place(text) + offset)
            elif self.kind == "log":
                places.append(self.place(text) * (self.high / self.low) ** share)
            else:
                places.append(self.place(text) + (self.high - self.low) * share)
        return places

    def heights(self, column: Sequence[str]) -> list[float]:
        """Return where each value is between the lowest, 0, and the highest, 1."""
        return [self._height(self.place(text)) for text in column]

    def _height(self, place: float) -> float:
        low, high = self.low, self.high
        if self.kind == "log":
            low, high, place = math.log(low), math.log(high), math.log(place)
        return max(0.0, min(1.0, (place - low) / (high - low))) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Return heights in [0, 1] with the values there."""
        if len(self.values) <= MOST_TICKS and self.kind != "linear":
            return [(self._height(self.place(text)), text or MISSING) for text in self.values]
        if self.kind == "category":
            every = math.ceil(len(self.values) / MOST_TICKS)
            return [(self._height(self.place(text)), text or MISSING) for text in self.values[::every]]
        places = [self.low + (self.high - self.low) * step / 4 for step in range(5)]
        if self.kind == "log":
            places = [self.low * (self.high / self.low) ** (step / 4) for step in range(5)]
        return [(self._height(place), phrases.setting(place)) for place in dict.fromkeys(places)]

    def label(self, axes: "Axes", key: str) -> None:
        """Set up the horizontal axis of a plot."""
        axes.set_xlabel(figure.short(key), parse_math=False)
        if self.kind == "category":
            every = max(1, math.ceil(len(self.values) / MOST_TICKS))
            places = list(range(0, len(self.values), every))
            texts = [figure.short(self.values[place] or MISSING) for place in places]
            slanted = sum(map(len, texts)) > 24
            axes.set_xticks(
                places, texts, parse_math=False, rotation=30 if slanted else 0, ha="right" if slanted else "center"
            )
            axes.set_xlim(-0.5, len(self.values) - 0.5)
        elif self.kind == "log":
            axes.set_xscale("log")
            axes.set_xlim(self.low / (self.high / self.low) ** 0.08, self.high * (self.high / self.low) ** 0.08)
        if self.kind != "category" and len(self.values) <= FEW_TICKS:
            heights = sorted(self._height(float(text)) for text in self.values)
            crowded = any(other - one < CROWDED for one, other in pairwise(heights))
            axes.set_xticks(
                [float(text) for text in self.values], self.values, parse_math=False, rotation=40 if crowded else 0
            )
            axes.set_xticks([], minor=True)


def scale_of(column: Sequence[str]) -> Scale:
    """Return the scale that suits the values of a setting.

    Numbers whose logarithms are more evenly spaced than they are themselves have a logarithmic one.

    Args:
        column: The values, as they are typed; empty where the setting does not apply.

    >>> [scale_of(c).kind for c in (["1e-3", "1e-2", "0.1"], ["1", "2", "3"], ["adam", "sgd"], ["", "0.9", "0.5"])]
    ['log', 'linear', 'category', 'category']
    """
    different = tuple(dict.fromkeys(column))
    amounts = numbers(different)
    if amounts is None or "" in different:
        ordered = sorted(different, key=lambda text: float(text or "-inf")) if amounts else list(different)
        return Scale("category", tuple(ordered), 0.0, max(1.0, len(different) - 1.0))
    low, high = min(amounts), max(amounts)
    return Scale("log" if _is_logarithmic(amounts) else "linear", tuple(sorted(different, key=float)), low, high)


def metric_scale(values: Sequence[float], *, larger: bool) -> Scale:
    """Return the scale of a metric; what is much worse than the others is at its end."""
    if phrases.is_wide(values):
        return Scale("log", (), min(values), max(values))
    return Scale("linear", (), *(window(values, larger=larger) or (min(values), max(values))))


def window(values: Sequence[float], *, larger: bool, reach: float = 4.0) -> tuple[float, float] | None:
    """Return a range with the better half of values and what is not much worse; None if that is all of them.

    Args:
        values: Finite ones, at least one.
        larger: Whether larger values are better.
        reach: The range, in distances from the best value to the median.

    >>> window([4.0, 3.0, 3.5, -90.0], larger=True), window([4.0, 3.0, 3.5], larger=True)
    ((0.0, 4.0), None)
    """
    ordered = sorted(values, reverse=larger)
    best, middle, worst = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    size = reach * abs(middle - best)
    if size == 0 or abs(worst - best) < 2 * size:
        return None
    return (best - size, best) if larger else (best, best + size)


def _is_logarithmic(amounts: Sequence[float]) -> bool:
    """Return whether the gaps between the logarithms of numbers are more alike than those between the numbers."""
    ordered = sorted(set(amounts))
    if len(ordered) < 3 or ordered[0] <= 0:
        return len(ordered) == 2 and ordered[0] > 0 and ordered[1] >= 10 * ordered[0]
    if ordered[-1] < RATIO * ordered[0]:
        return False
    return _unevenness([math.log(amount) for amount in ordered]) < _unevenness(ordered)


def _unevenness(ordered: Sequence[float]) -> float:
    """Return the largest distance of sorted numbers from evenly spaced ones, as a share of their range."""
    low, high = ordered[0], ordered[-1]
    steps = len(ordered) - 1
    return max(abs((value - low) / (high - low) - index / steps) for index, value in enumerate(ordered))
