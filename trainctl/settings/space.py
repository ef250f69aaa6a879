"""The search space of a sweep: its fixed words, and its axes, each a list of options or an interval. Imports no torch."""

import itertools
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

MOST_POINTS = 10_000
MOST_COMBINATIONS = 256  # of options that are checked with the ends of intervals; else each option is, once
ZIP = re.compile(r"([A-Za-z_]\w*)=zip\((.*)\)", re.DOTALL)
Words = tuple[str, ...]
INSIDE = 1e-4  # of an interval: the margin of what is checked before any number is drawn
SEEDS = ("seed", "split.seed")  # what is varied to repeat a point, not to choose one


@dataclass(frozen=True)
class Choice:
    """An axis with a list of options.

    Args:
        label: Names the axis: its key, or that of a zip.
        options: The words that each option stands for; several for a zip or a row of a file.
    """

    label: str
    options: tuple[Words, ...]


@dataclass(frozen=True)
class Interval:
    """An axis from which any number can be drawn.

    Args:
        label: Its key.
        low: The smallest number.
        high: The largest number.
        logarithmic: Whether every ratio, instead of every difference, is equally likely.
        whole: Whether only whole numbers are drawn.
    """

    label: str
    low: float
    high: float
    logarithmic: bool
    whole: bool

    def draw(self, source: random.Random) -> Words:
        """Return the word for a random number."""
        if self.whole and not self.logarithmic:
            return (f"{self.label}={source.randint(int(self.low), int(self.high))}",)
        if not self.logarithmic:
            return self.word(source.uniform(self.low, self.high))
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        return self.word(math.exp(source.uniform(math.log(low), math.log(high))))

    def word(self, number: float) -> Words:
        """Return the word for a number, which is rounded and kept in the interval."""
        number = min(max(number, self.low), self.high)
        return (f"{self.label}={round(number) if self.whole else f'{number:.6g}'}",)

    @property
    def ends(self) -> tuple[Words, Words]:
        """Return the words of its smallest and its largest number; not quite, unless it is whole, as 0 is hardly ever drawn.

        >>> Interval("optimizer.lr", 0, 1, logarithmic=False, whole=False).ends
        (('optimizer.lr=0.0001',), ('optimizer.lr=0.9999',))
        """
        if self.whole:
            return self.word(self.low), self.word(self.high)
        if self.logarithmic:
            factor = (self.high / self.low) ** INSIDE
            return self.word(self.low * factor), self.word(self.high / factor)
        margin = INSIDE * (self.high - self.low)
        return self.word(self.low + margin), self.word(self.high - margin)


Axis = Choice | Interval


def keys_of(axis: Axis) -> list[str]:
    """Return the keys that an axis sets."""
    if isinstance(axis, Interval):
        return [axis.label]
    return list(dict.fromkeys(key_of(word) for option in axis.options for word in option))


def key_of(word: str) -> str:
    """Return the key of a word such as ``optimizer.lr=0.1``."""
    return word.partition("=")[0].lstrip("+")


@dataclass(frozen=True)
class Space:
    """What is the same in all trials, and what varies.

    Args:
        fixed: The words of all trials.
        axes: What varies from point to point.
        replicates: The words of each repetition of a point, which set ``seed``, ``split.seed`` or both.
    """

    fixed: Words
    axes: tuple[Axis, ...]
    replicates: tuple[Words, ...] = ((),)

    @property
    def size(self) -> float:
        """Return the number of points, before equal ones become one; infinite with an interval."""
        return math.prod(len(axis.options) if isinstance(axis, Choice) else math.inf for axis in self.axes)

    @cached_property
    def swept(self) -> frozenset[str]:
        """Return the keys that vary from point to point."""
        return frozenset(key for axis in self.axes for key in keys_of(axis))

    def grid(self) -> Iterator[Words]:
        """Yield every point in order, the last axis first."""
        options = [axis.options for axis in self.axes if isinstance(axis, Choice)]
        for choices in itertools.product(*options):
            yield tuple(itertools.chain.from_iterable(choices))

    def extremes(self) -> Iterator[Words]:
        """Yield points that have each option, and both ends of each interval, with all combinations of options if they are few."""
        listed = [axis.options if isinstance(axis, Choice) else () for axis in self.axes]
        count = math.prod(len(options) for options in listed if options)
        rows = max(map(len, listed), default=1)
        for number in range(count if count <= MOST_COMBINATIONS else max(1, rows)):
            for end in (0, 1):
                yield tuple(itertools.chain.from_iterable(self._extreme(number, end, every=count <= MOST_COMBINATIONS)))

    def _extreme(self, number: int, end: int, *, every: bool) -> Iterator[Words]:
        """Yield the words of each axis: the option of that number, counted over all combinations or on each axis alone."""
        for axis in self.axes:
            if isinstance(axis, Interval):
                yield axis.ends[end]
                continue
            yield axis.options[number % len(axis.options)]
            if every:
                number //= len(axis.options)

    def draw(self, seed: int, number: int) -> Words:
        """Return a random point, a function of the seed and of its number alone."""
        source = random.Random(f"{seed} {number}")
        parts = [axis.draw(source) if isinstance(axis, Interval) else source.choice(axis.options) for axis in self.axes]
        return tuple(itertools.chain.from_iterable(parts))
