"""Parse the values of a command's options. Imports no torch."""

import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from trainctl.errors import ConfigError, StorageError
from trainctl.settings.spelling import nearest
from trainctl.settings.text import read_items, split

MOST_DIGITS = 18  # of a whole number
MOST_QUANTILES = 99


def integer(key: str, text: str, low: int) -> int:
    """Parse an option whose value is a whole number.

    Raises:
        ConfigError: If it is not a whole number, or is below ``low``.
    """
    if not (text.isdecimal() and len(text) <= MOST_DIGITS and int(text) >= low):
        raise ConfigError(f"{key}={text}: expected a whole number in [{low}, inf)")
    return int(text)


def number(key: str, text: str, low: float, high: float) -> float:
    """Parse an option whose value is a finite number in ``(low, high]``.

    Raises:
        ConfigError: If it is not a number, or is outside that range.

    >>> number("seconds", "0.5", 0, 3600)
    0.5
    >>> number("max_lr", "1e400", 0, math.inf)
    Traceback (most recent call last):
    trainctl.errors.ConfigError: max_lr=1e400: expected a number in (0, inf)
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (low < value <= high and math.isfinite(value)):
        end = f"{high:g}]" if math.isfinite(high) else "inf)"
        raise ConfigError(f"{key}={text}: expected a number in ({low:g}, {end}")
    return value


def tolerance(text: str) -> float | None:
    """Parse ``tolerance=``, by how much a metric may become worse; None if it is empty.

    Raises:
        ConfigError: If it is not a number of at least 0.

    >>> tolerance("0.01"), tolerance("")
    (0.01, None)
    """
    if not text:
        return None
    try:
        return float(text) and number("tolerance", text, 0, math.inf)
    except (ConfigError, ValueError):
        raise ConfigError(f"tolerance={text}: expected a number in [0, inf)") from None


def choice(key: str, value: str, allowed: Iterable[str]) -> str:
    """Check that the value of an option is one of the allowed values, and return it.

    Raises:
        ConfigError: If it is not one of the allowed values.
    """
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigError(f"{key}={value}: no such {key}{nearest(value, allowed)}")
    return value


def new_path(key: str, text: str) -> Path | None:
    """Parse an option that names the output of a command; None if the option is empty.

    Raises:
        ConfigError: If the path already exists.
        StorageError: If it cannot be looked at.
    """
    if not text:
        return None
    try:
        kind = "directory" if stat.S_ISDIR(os.lstat(text).st_mode) else "file"
    except FileNotFoundError:
        return Path(text)
    except OSError as error:
        raise StorageError(f"{key}={text}: cannot be written: {error.strerror}") from error
    raise ConfigError(f"{key}={text}: {kind} already exists; remove it, or choose another name")


def new_picture(key: str, text: str) -> Path | None:
    """Parse an option that names a picture to draw; None if the option is empty.

    Raises:
        ConfigError: If it is no PNG file, or exists.
        StorageError: If it cannot be looked at.
    """
    if text and not text.lower().endswith(".png"):
        raise ConfigError(f"{key}={text}: the picture is drawn as PNG; give a name that ends in .png")
    return new_path(key, text)


def quantiles(text: str) -> list[float]:
    """Parse ``quantiles=[0.05,0.95]``, with or without brackets; none if it is empty.

    Raises:
        ConfigError: If one is not in [0, 1], or is given twice.

    >>> quantiles("[0.05,0.95]"), quantiles("0.5"), quantiles("")
    ([0.05, 0.95], [0.5], [])
    """
    items = read_items(text)
    words = [word.strip() for word in (split(text) if items is None else items)] if text else []
    found = [0.0 if word in ("0", "0.0") else number("quantiles", word, 0, 1) for word in words]
    if len(set(found)) < len(found) or len(found) > MOST_QUANTILES:
        raise ConfigError(f"quantiles={text}: list each quantile only once, at most {MOST_QUANTILES}")
    return found
