"""Read the space that the words of a command span: ranges, intervals, choices, zips and seeds. Imports no torch."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, RangeSweep

from trainctl.errors import ConfigError
from trainctl.settings.kinds import kinds_of
from trainctl.settings.members import Members
from trainctl.settings.overrides import Word, options, parse, values
from trainctl.settings.points_file import read_points
from trainctl.settings.space import MOST_POINTS, SEEDS, ZIP, Axis, Choice, Interval, Space, Words, key_of, keys_of
from trainctl.settings.spelling import nearest
from trainctl.settings.sweep import Sweep
from trainctl.settings.text import read_items
from trainctl.wording import amount


def read_space(words: Sequence[str], settings: Sweep, members: Members) -> Space:
    """Return the space that the words of a command span.

    Args:
        words: The words about the runs.
        settings: Those of the sweep.
        members: The members of all groups, for ``glob(...)``.

    Raises:
        ConfigError: With one line for each word that is wrong, or if there are too many points.
    """
    fixed: list[str] = []
    axes: list[Axis] = []
    wrong: list[str] = []
    packages = packages_of(words)
    for word in words:
        try:
            axis = (
                _zipped(word, members, packages)
                if ZIP.fullmatch(word)
                else _axis(parse([word])[0], settings, members, packages)
            )
        except ConfigError as error:
            wrong += error.lines
            continue
        if axis is None:
            fixed.append(word)
        else:
            axes.append(axis)
    if settings.points is not None and not wrong:
        axes.append(read_points(Path(settings.points)))
    wrong = wrong or _conflicts(fixed, axes, settings)
    if wrong:
        raise ConfigError(*wrong)
    replicates, points = _replicates(fixed, axes, settings)
    space = Space(tuple(fixed), tuple(points), replicates)
    if too_many := _too_many(space, settings):
        raise ConfigError(too_many)
    return space


def _replicates(fixed: Sequence[str], axes: Sequence[Axis], settings: Sweep) -> tuple[tuple[Words, ...], list[Axis]]:
    """Return the repetitions of each point, and the axes that remain: a swept seed repeats points."""
    repeated, points = [], []
    for axis in axes:
        if isinstance(axis, Choice) and axis.label in SEEDS:
            repeated.append(axis.options)
        else:
            points.append(axis)
    for key, count in (("seed", settings.seeds), ("split.seed", settings.splits)):
        if count > 1:
            first = next((int(word.partition("=")[2]) for word in fixed if key_of(word) == key), 0)
            repeated.append(tuple((f"{key}={first + number}",) for number in range(count)))
    return tuple(tuple(itertools.chain.from_iterable(row)) for row in itertools.product(*repeated)), points


def _conflicts(fixed: Sequence[str], axes: Sequence[Axis], settings: Sweep) -> list[str]:
    """Return what is wrong with the axes together."""
    wrong, seen = [], {key_of(word) for word in fixed}
    for axis in axes:
        keys = set(keys_of(axis))
        wrong += [f"{key} is set twice" for key in sorted(keys & seen)]
        seen |= keys
        if isinstance(axis, Interval) and settings.sampler == "grid":
            wrong.append(f"{axis.label}: an interval has no grid; add sweep=random or sweep=tpe, and sweep.trials=20")
        wrong += [
            f"{key} repeats points, and is part of none: instead of one in {axis.label}, give {key}=0,1,2 or sweep.{count}=3"
            for key, count in zip(SEEDS, ("seeds", "splits"), strict=True)
            if key in keys and not (isinstance(axis, Choice) and axis.label == key)
        ]
    swept = {key for axis in axes for key in keys_of(axis)}
    for key, setting, count in (("seed", "seeds", settings.seeds), ("split.seed", "splits", settings.splits)):
        if count > 1 and key in swept:
            wrong.append(f"sweep.{setting}={count}: {key} is already swept; leave one of them out")
        wrong += [
            f"{word}: with sweep.{setting}, expected a whole number"
            for word in fixed
            if count > 1 and key_of(word) == key and not word.partition("=")[2].isdecimal()
        ]
    return wrong


def _too_many(space: Space, settings: Sweep) -> str:
    """Return what is wrong if there are too many trials."""
    repeated = len(space.replicates)
    if settings.trials is not None and settings.trials * repeated > MOST_POINTS:
        return f"sweep.trials={settings.trials}: this sweep has {amount(settings.trials * repeated, 'trial')}; the limit is {MOST_POINTS}"
    if settings.sampler == "grid" and space.size * repeated > MOST_POINTS:
        return (
            f"this sweep has {space.size * repeated:.0f} trials; the limit is {MOST_POINTS}: give fewer values, or draw"
            " some of the points with sweep=random sweep.trials=100"
        )
    return ""


def packages_of(words: Sequence[str]) -> list[str]:
    """Return the packages of components that the words of a command name."""
    listed = [word.partition("=")[2] for word in words if key_of(word) == "components"]
    return (read_items(listed[-1]) or []) if listed else []


def _axis(override: Word, settings: Sweep, members: Members, packages: Sequence[str]) -> Axis | None:
    """Return the axis that an override spans; None if it has one value."""
    swept = override.is_sweep_override()
    kinds = kinds_of(override.key_or_group, packages) if swept or override.trouble else []
    if (listed := options(override, kinds)) is not None:
        key = override.key_or_group
        return Choice(key, tuple((f"{key}={item}",) for item in listed)) if swept or len(listed) > 1 else None
    if override.trouble:
        raise ConfigError(override.trouble)
    if not swept:
        return None
    key, line = override.key_or_group, str(override.input_line)
    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        return _interval(key, line, value)
    if isinstance(value, RangeSweep) and _length(value, line) > MOST_POINTS:
        raise ConfigError(f"{line}: this sweep has {_length(value, line):.0f} trials; the limit is {MOST_POINTS}")
    shuffled = isinstance(value, ChoiceSweep | RangeSweep) and value.shuffle
    if shuffled:
        override = replace(override, _value=replace(value, shuffle=False))
    texts = values(override, members)
    if not texts:
        raise ConfigError(f"{line}: matches nothing{nearest('', members.get(key, ()))}")
    if shuffled:  # Hydra would shuffle them anew each time
        random.Random(f"{settings.seed} {line}").shuffle(texts)
    if isinstance(value, Glob) and key not in members:
        raise ConfigError(f"{line}: glob() chooses members of a group, and {key} is not a group")
    return Choice(key, tuple((f"{key}={text}",) for text in texts))


def _interval(key: str, line: str, value: IntervalSweep) -> Interval:
    low, high = value.start, value.end
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{line}: expected interval(low,high) with two numbers, low below high")
    if unknown := set(value.tags) - {"log"}:
        raise ConfigError(f"{line}: tag {', '.join(sorted(unknown))} has no meaning; expected log")
    if "log" in value.tags and low <= 0:
        raise ConfigError(f"{line}: a logarithmic interval must begin above 0")
    return Interval(key, low, high, "log" in value.tags, isinstance(low, int) and isinstance(high, int))


def _length(value: Any, line: str) -> float:
    """Return how many values a range has, without listing them."""
    try:
        start, stop, step = (float(end or 0) for end in (value.start, value.stop, value.step))
        count = (stop - start) / step
    except (OverflowError, ZeroDivisionError):
        count = math.inf
    if not math.isfinite(count):
        raise ConfigError(f"{line}: range is infinite; write range(start,stop,step) with a non-zero step")
    return max(0.0, math.ceil(count))


def _zipped(word: str, members: Members, packages: Sequence[str] = ()) -> Choice:
    """Return the axis of ``name=zip(key=[a,b],key=[c,d])``: the first values together, then the second ones.

    >>> _zipped("p=zip(optimizer=[adam,sgd],optimizer.lr=[1e-3,1e-1])", {}).options
    (('optimizer=adam', 'optimizer.lr=0.001'), ('optimizer=sgd', 'optimizer.lr=0.1'))
    """
    match = ZIP.fullmatch(word)
    assert match
    columns: dict[str, list[str]] = {}
    for part in _split(match[2]):
        key, _, listed = part.strip().partition("=")
        if not (listed.startswith("[") and listed.endswith("]")) or not key:
            raise ConfigError(
                f"{word}: expected {match[1]}=zip(key=[a,b],key=[c,d]); found {part.strip() or 'nothing'}"
            )
        if key in columns:
            raise ConfigError(f"{word}: {key} is given twice")
        columns[key] = values(parse([f"{key}=choice({listed[1:-1]})"])[0], members, kinds_of(key, packages))
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        counts = ", ".join(f"{key} has {len(column)}" for key, column in columns.items())
        raise ConfigError(f"{word}: the lists of a zip must have the same number of values: {counts}")
    rows = zip(*([f"{key}={text}" for text in column] for key, column in columns.items()), strict=True)
    return Choice(match[1], tuple(rows))


def _split(text: str) -> list[str]:
    """Split at the commas that are outside of brackets and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[index - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character in "[({":
            depth += 1
        elif character in "])}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]
