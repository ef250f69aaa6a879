"""Choose the dates that an axis names, among days since 0001-01-01. Imports no torch."""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from trainctl.fileformat.date import DAY, LATEST, START, moment

Unit = Literal["seconds", "days", "months", "years"]
# Distances between the dates on an axis, from the shortest to the longest: a unit, and how many of it.
STEPS: tuple[tuple[Unit, int], ...] = (
    *(("seconds", count) for count in (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600)),
    *(("days", count) for count in (1, 2, 7, 14)),
    *(("months", count) for count in (1, 3, 6)),
    *(("years", count) for count in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)
LENGTHS: dict[Unit, float] = {"seconds": 1 / DAY, "days": 1.0, "months": 30.4, "years": 365.25}  # days


def ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Return round dates within a range of days, at most so many, and how each is written.

    >>> [text for _, text in ticks(738_000.0, 738_400.0, 6)]
    ['2021-10', '2022-01', '2022-04', '2022-07']
    >>> [text for _, text in ticks(738_000.0, 738_001.0, 4)]
    ['07-30 00:00', '07-30 12:00', '07-31 00:00']
    """
    low, high = max(0.0, low), min(LATEST, high)
    unit, count = next(
        (step for step in STEPS if (high - low) / (LENGTHS[step[0]] * step[1]) <= most - 1), ("years", 2000)
    )
    return [(place, _short(place, unit, count)) for place in _places(low, high, unit, count)]


def _places(low: float, high: float, unit: Unit, count: int) -> Iterator[float]:
    """Yield the multiples of a step within a range."""
    if unit in ("seconds", "days"):
        length = LENGTHS[unit] * count
        yield from (number * length for number in range(math.ceil(low / length), math.floor(high / length) + 1))
        return
    every = count * (12 if unit == "years" else 1)
    first = 12 * (moment(low).year - moment(low).year % max(1, every // 12))
    for month in range(first, 12 * moment(high).year + 12, every):
        if 12 <= month < 120_000:
            place = float((datetime(month // 12, month % 12 + 1, 1) - START).days)
            if low <= place <= high:
                yield place


def _short(days: float, unit: Unit, count: int) -> str:
    at = moment(days)
    if unit == "seconds":
        return f"{at:%H:%M:%S}" if count < 60 else f"{at:%H:%M}" if count < 3600 else f"{at:%m-%d %H:%M}"
    return {"days": f"{at:%Y-%m-%d}", "months": f"{at:%Y-%m}", "years": f"{at:%Y}"}[unit]
