"""Write days since 0001-01-01 as dates, and choose those that an axis names. Imports no torch."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

Unit = Literal["seconds", "days", "months", "years"]
START = datetime(1, 1, 1)
LATEST = 3652058.0  # 9999-12-31
DAY = 86400
# Distances between the dates on an axis, from the shortest to the longest: a unit, and how many of it.
STEPS: tuple[tuple[Unit, int], ...] = (
    *(("seconds", count) for count in (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600)),
    *(("days", count) for count in (1, 2, 7, 14)),
    *(("months", count) for count in (1, 3, 6)),
    *(("years", count) for count in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)
LENGTHS: dict[Unit, float] = {"seconds": 1 / DAY, "days": 1.0, "months": 30.4, "years": 365.25}  # days


def written(days: float) -> str:
    """Return a date, with its time unless that is midnight.

    >>> written(738_000.0), written(738_000.5), written(738_000.500_15)
    ('2021-07-30', '2021-07-30 12:00', '2021-07-30 12:00:13')
    """
    moment = _moment(days)
    if not (moment.hour or moment.minute or moment.second):
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment.second else f"{moment:%Y-%m-%d %H:%M}"


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
    first = 12 * (_moment(low).year - _moment(low).year % max(1, every // 12))
    for month in range(first, 12 * _moment(high).year + 12, every):
        if 12 <= month < 120_000:
            place = float((datetime(month // 12, month % 12 + 1, 1) - START).days)
            if low <= place <= high:
                yield place


def _short(days: float, unit: Unit, count: int) -> str:
    moment = _moment(days)
    if unit == "seconds":
        return f"{moment:%H:%M:%S}" if count < 60 else f"{moment:%H:%M}" if count < 3600 else f"{moment:%m-%d %H:%M}"
    return {"days": f"{moment:%Y-%m-%d}", "months": f"{moment:%Y-%m}", "years": f"{moment:%Y}"}[unit]


def _moment(days: float) -> datetime:
    return START + timedelta(seconds=round(min(max(days, 0.0), LATEST) * DAY))
