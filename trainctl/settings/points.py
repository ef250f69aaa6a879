"""Expand overrides with several values into the points of a sweep."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override, RangeSweep

from trainctl.errors import ConfigError
from trainctl.settings.members import Members
from trainctl.settings.overrides import values
from trainctl.settings.spelling import nearest

MOST_POINTS = 10_000


def points_of(overrides: Sequence[Override], members: Members) -> list[list[str]]:
    """Return the points of a sweep in order, each a list of one word per override.

    Raises:
        ConfigError: If an override has no values, or there are too many points.
    """
    _limit(math.prod(map(_length, overrides)))
    axes = [_axis(override, members) for override in overrides]
    _limit(math.prod(map(len, axes)))
    return [list(point) for point in itertools.product(*axes)]


def _limit(count: float) -> None:
    if count > MOST_POINTS:
        raise ConfigError(f"this sweep has {count:.0f} points; the limit is {MOST_POINTS}")


def _length(override: Override) -> float:
    """Return the number of values in a range, without listing them; 1 for anything else."""
    value: Any = override.value() if override.is_sweep_override() else None
    if not isinstance(value, RangeSweep):
        return 1
    try:
        start, stop, step = (float(end or 0) for end in (value.start, value.stop, value.step))
        count = (stop - start) / step
    except (OverflowError, ZeroDivisionError):
        count = math.inf
    if not math.isfinite(count):
        raise ConfigError(
            f"{override.input_line}: range is infinite; write range(start,stop,step) with a non-zero step"
        )
    return max(0.0, math.ceil(count))


def _axis(override: Override, members: Members) -> list[str]:
    """Return one word `key=value` for each value of an override."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    key = override.key_or_group
    texts = values(override, members)
    if not texts:
        raise ConfigError(f"{override.input_line}: matches nothing{nearest('', members.get(key, ()))}")
    return [f"{key}={text}" for text in texts]
