"""A cell -> a date or a time of day, as a number of days, and back. Imports no torch."""

import re
from calendar import monthrange
from collections.abc import Sequence
from datetime import date, datetime, timedelta

DAY = 86400  # seconds
START = datetime(1, 1, 1)
LATEST = 3652058.0  # 9999-12-31, in days since START
ORDERS = ("auto", "day_first", "month_first")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d+))?)?\s?(?P<half>[AaPp][Mm])?"
ZONE = r"\s?(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
TAIL = rf"(?:(?:[T ]|, ){CLOCK}{ZONE})?"
YEAR_FIRST = re.compile(rf"(?P<y>\d{{4}})(?P<mark>[-/.])(?P<m>\d{{1,2}})(?:(?P=mark)(?P<d>\d{{1,2}}))?{TAIL}", re.ASCII)
YEAR_LAST = re.compile(
    rf"(?P<a>\d{{1,2}})(?P<mark>[-/.])(?P<b>\d{{1,2}})(?P=mark)(?P<y>\d{{4}}|\d{{2}}){TAIL}", re.ASCII
)
DAY_NAME = re.compile(
    rf"(?P<d>\d{{1,2}})[ .-]{{1,2}}(?P<name>[A-Za-z]{{3,9}})[. ,-]{{1,2}}(?P<y>\d{{4}}|\d{{2}}){TAIL}", re.ASCII
)
NAME_DAY = re.compile(rf"(?P<name>[A-Za-z]{{3,9}})\.? (?P<d>\d{{1,2}}),? (?P<y>\d{{4}}){TAIL}", re.ASCII)
PATTERNS = (YEAR_FIRST, YEAR_LAST, DAY_NAME, NAME_DAY)
TIME = re.compile(CLOCK, re.ASCII)


def read_days(cell: str, order: str) -> float | None:
    """Return the days since 0001-01-01 of a date, with its time if it has one; of a time of day, its part of a day.

    Args:
        cell: The date: 2024-01-31, 2024-01-31T13:45:00Z, 31.1.2024, 1/31/2024, 31 Jan 2024, Jan 31, 2024; or 13:45.
        order: ``day_first`` or ``month_first`` of dates whose year is last; ``time``: only times of day.

    A day that its month does not have is counted on, as in the calendars of climate models: 30 February is 1 or 2 March.

    >>> read_days("0001-01-02", "day_first"), read_days("12:00", "time"), read_days("32.1.2024", "day_first")
    (1.0, 0.5, None)
    """
    if order == "time":
        return _time(match) if (match := TIME.fullmatch(cell)) else None
    for pattern in PATTERNS:
        if match := pattern.fullmatch(cell):
            return _days(match, order)
    return None


def _days(match: re.Match[str], order: str) -> float | None:
    year, month, day = _parts(match, order)
    if not (1 <= month <= 12 and 1 <= day <= 31 and 1 <= year <= 9999):
        return None
    whole = date(year, month, 1).toordinal() + day - 2
    part = _time(match) if match["hour"] else 0.0
    return None if part is None else whole + part


def _parts(match: re.Match[str], order: str) -> tuple[int, int, int]:
    """Return the year, the month, 0 for a name that is none, and the day."""
    found = match.groupdict()
    if "name" in found:
        name = found["name"].lower()
        month, day = next((n for n, short in enumerate(MONTHS, 1) if name.startswith(short)), 0), int(found["d"])
    elif "a" in found:
        first = order == "month_first" and found["mark"] != "."
        month, day = (int(found[key]) for key in (("a", "b") if first else ("b", "a")))
    else:
        month, day = int(found["m"]), int(found["d"] or 1)
    year = int(found["y"])
    if len(found["y"]) == 2:
        year += 1900 if year >= 69 else 2000  # as POSIX says
    return year, month, day


def _time(match: re.Match[str]) -> float | None:
    found = match.groupdict()
    hour, minute, second = (int(found[key] or 0) for key in ("hour", "minute", "second"))
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (found["half"].lower() == "pm")
    if hour > 24 or minute > 59 or second > 60:
        return None
    zone = found.get("zone") or ""
    offset = 0
    if zone[:1] in ("+", "-"):
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = (1 if zone[0] == "+" else -1) * (int(digits[:2]) * 60 + int(digits[2:]))
    fraction = float(f"0.{found['part']}") if found["part"] else 0.0
    return ((hour * 60 + minute - offset) * 60 + second + fraction) / DAY


def find_order(cells: Sequence[str], wanted: str = "auto") -> str:
    """Return how the dates of a column are written; empty if some are not dates.

    Returns:
        ``time`` for times of day; ``day_first`` or ``month_first``, also if no date needs the difference;
        ``unclear`` if both are possible and give other dates.

    >>> find_order(["1/2/2024", "1/31/2024"]), find_order(["1/2/2024"]), find_order(["2024-01-02"]), find_order(["x"])
    ('month_first', 'unclear', 'day_first', '')
    """
    head = cells[:100]
    if not head:
        return ""
    if all(read_days(cell, "time") is not None for cell in head):
        return "time" if all(read_days(cell, "time") is not None for cell in cells[100:]) else ""
    orders = ("day_first", "month_first") if wanted == "auto" else (wanted,)
    possible = [order for order in orders if all(read_days(cell, order) is not None for cell in (*head, *cells[100:]))]
    if len(possible) == 2 and any(read_days(cell, possible[0]) != read_days(cell, possible[1]) for cell in cells):
        return "unclear"
    return possible[0] if possible else ""


def impossible(cell: str, order: str) -> bool:
    """Return whether a date has a day that its month does not have.

    >>> impossible("2023-02-29", "day_first"), impossible("29.2.2024", "day_first")
    (True, False)
    """
    match = next((match for pattern in PATTERNS if (match := pattern.fullmatch(cell))), None)
    if match is None or read_days(cell, order) is None:
        return False
    year, month, day = _parts(match, order)
    return day > monthrange(year, month)[1]


def written(days: float) -> str:
    """Return a date, with its time unless that is midnight.

    >>> written(738_000.0), written(738_000.5), written(738_000.500_15)
    ('2021-07-30', '2021-07-30 12:00', '2021-07-30 12:00:13')
    """
    at = moment(days)
    if not (at.hour or at.minute or at.second):
        return f"{at:%Y-%m-%d}"
    return f"{at:%Y-%m-%d %H:%M:%S}" if at.second else f"{at:%Y-%m-%d %H:%M}"


def moment(days: float) -> datetime:
    """Return the date that is so many days after 0001-01-01, within the calendar."""
    return START + timedelta(seconds=round(min(max(days, 0.0), LATEST) * DAY))
