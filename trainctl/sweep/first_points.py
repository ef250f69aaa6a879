"""The points of a sweep that are known before its first trial. Imports no torch."""

from collections.abc import Iterable

from trainctl.settings.space import Space, Words
from trainctl.settings.sweep import Sweep


def first_points(space: Space, settings: Sweep) -> Iterable[Words]:
    """Return the points that are known before the first trial; tpe chooses all but the first later."""
    if settings.sampler == "grid":
        return space.grid()
    if settings.sampler == "tpe":
        return [space.draw(settings.seed, 0)]  # to check the words; the sampler draws the rest
    return random_points(space, settings.seed, settings.trials or 16)


def random_points(space: Space, seed: int, count: int) -> list[Words]:
    """Return so many different random points, fewer if the space has no more; always the same for a seed."""
    points: dict[Words, None] = {}
    for number in range(100 * count):
        if len(points) >= min(count, space.size):
            break
        points[space.draw(seed, number)] = None
    return list(points)
