"""The points of a sweep that are known before its first trial, and a check of those that come later. Imports no torch."""

from collections.abc import Iterable

from trainctl.errors import ConfigError
from trainctl.settings.points import Composer, distinct_points
from trainctl.settings.space import Interval, Space, Words
from trainctl.settings.sweep import Sweep


def first_points(space: Space, settings: Sweep) -> Iterable[Words]:
    """Return the points that are known before the first trial; tpe chooses all but the first later."""
    if settings.sampler == "grid":
        return space.grid()
    if settings.sampler == "tpe":
        return [space.draw(settings.seed, 0)]  # the sampler chooses the rest
    return random_points(space, settings.seed, settings.trials or 16)


def random_points(space: Space, seed: int, count: int) -> list[Words]:
    """Return so many different random points, fewer if the space has no more; always the same for a seed."""
    points: dict[Words, None] = {}
    for number in range(100 * count):
        if len(points) >= min(count, space.size):
            break
        points[space.draw(seed, number)] = None
    return list(points)


def check_extremes(composer: Composer, settings: Sweep) -> None:
    """Check every option, and both ends of every interval: points that are drawn later must not end the sweep.

    Raises:
        ConfigError: With one line for each thing that is wrong, in the words that were typed.
    """
    if settings.sampler == "grid":
        return
    try:
        distinct_points(composer, composer.space.extremes())
    except ConfigError as error:
        ends = {end: axis for axis in composer.space.axes if isinstance(axis, Interval) for (end,) in axis.ends}
        raise ConfigError(*(_as_typed(line, ends, composer.typed) for line in error.lines)) from None


def _as_typed(line: str, ends: dict[str, Interval], typed: dict[str, str]) -> str:
    """Return a line about the end of an interval as one about the interval."""
    word, _, problem = line.partition(": ")
    axis = ends.get(word)
    if axis is None or axis.label not in typed:
        return line
    key, value = axis.label, word.partition("=")[2]
    advice = (
        f"; whole numbers: {key}=int(interval({axis.low:.12g},{axis.high:.12g}))" if "a whole number" in problem else ""
    )
    return f"{typed[key]}: contains {value}; {problem}{advice}"
