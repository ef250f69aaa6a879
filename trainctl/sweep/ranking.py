"""Rank the points of a sweep. Imports no torch."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from trainctl.run.metric_names import maximize
from trainctl.settings.space import SEEDS, Words, key_of
from trainctl.sweep.answer import Answer, Confirmation, Overall, Ranking, Standing, Verdict, is_done
from trainctl.sweep.statistics import Blocks, Comparison, average_ranks, compare, half_width
from trainctl.sweep.trial import Trial

SIMILAR = 1.05  # ratio of training times below which the number of parameters decides what is cheaper


def find_answer(
    trials: Sequence[Trial], monitor: str, monitors: Sequence[str] = (), own: Collection[str] = ()
) -> Answer:
    """Return the answer of a sweep, finished or not.

    Args:
        trials: All trials, in any order.
        monitor: The metric that they are ranked by.
        monitors: The metrics of the Pareto front; empty with one.
        own: The user's own metrics of which larger values are better.
    """
    by_dataset: dict[Words, list[Trial]] = {}
    for trial in trials:
        by_dataset.setdefault(dataset_words(trial.words), []).append(trial)
    rankings = tuple(rank(each, monitor, monitors, dataset, own) for dataset, each in by_dataset.items())
    return Answer(
        monitor, tuple(monitors), rankings, tuple(mean_ranks(rankings, maximize=maximize(monitor, own))), frozenset(own)
    )


def dataset_words(words: Iterable[str]) -> Words:
    """Return the words that choose or change the data set: metrics on different data cannot be compared.

    >>> dataset_words(("dataset=iris", "optimizer.lr=0.1"))
    ('dataset=iris',)
    """
    return tuple(word for word in words if key_of(word).partition(".")[0] == "dataset")


def rank(
    trials: Sequence[Trial],
    monitor: str,
    monitors: Sequence[str] = (),
    dataset: Words = (),
    own: Collection[str] = (),
) -> Ranking:
    """Rank the points of one data set."""
    import numpy as np

    larger = maximize(monitor, own)
    groups = by_point(trial for trial in trials if not trial.confirms)
    array, blocks = table_of(groups)
    comparison = compare(array, blocks, maximize=larger)
    compared = bool(comparison.tested.any())
    standings = []
    for row, group in enumerate(groups):
        full = array[row][np.isfinite(array[row])]
        verdict = _verdict(group, row, comparison) if len(full) else unfinished(group)
        half = half_width(array[row], blocks) if len(full) > 1 else None
        means = _means(group, monitors)
        standing = Standing(group[0].point, group[0].words, tuple(group), verdict, tuple(full.tolist()), half, means)
        standings.append(standing)
    keys = {each.point: _order(each, float(comparison.means[row]), larger) for row, each in enumerate(standings)}
    standings.sort(key=lambda each: keys[each.point])
    standings = _with_front(_with_cheapest(standings) if compared else standings, monitors, own)
    return Ranking(dataset, tuple(standings), tuple(confirm(trials, maximize=larger)))


def table_of(groups: Sequence[Sequence[Trial]]) -> tuple[Any, Blocks]:
    """Return the values of the trials that were trained in full: shape (points, blocks), NaN elsewhere; and the blocks."""
    import numpy as np

    names: dict[tuple[str, str], int] = {}
    cells = [
        (row, names.setdefault(seeds_of(trial), len(names)), trial.value)
        for row, group in enumerate(groups)
        for trial in group
        if is_done(trial)
    ]
    array = np.full((len(groups), len(names)), np.nan)
    for row, column, value in cells:
        array[row, column] = value
    return array, Blocks(_numbered([name[0] for name in names]), _numbered([name[1] for name in names]))


def seeds_of(trial: Trial) -> tuple[str, str]:
    """Return the seeds of a trial, ``(seed, split.seed)``; empty where one does not vary.

    >>> from pathlib import Path
    >>> seeds_of(Trial(0, ("optimizer.lr=0.1",), ("seed=3",), Path("runs/sweep/0")))
    ('3', '')
    """
    values = {key_of(word): word.partition("=")[2] for word in trial.replicate}
    return values.get(SEEDS[0], ""), values.get(SEEDS[1], "")


def _numbered(names: Sequence[str]) -> tuple[int, ...]:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return tuple(numbers[name] for name in names)


def _verdict(group: Sequence[Trial], row: int, comparison: Comparison) -> Verdict:
    if row == comparison.best:
        return "best"
    if not comparison.tested[row]:
        return "untold"
    return "worse" if comparison.worse[row] else "tied"


def unfinished(group: Sequence[Trial]) -> Verdict:
    """Return the verdict of a point of which no trial was trained in full."""
    states = {trial.status for trial in group}
    if states & {"waiting", "running"}:
        return "waiting"
    if states & {"paused", "stopped"}:  # stopped before its first evaluation; it can be resumed
        return "paused"
    return "pruned" if "pruned" in states else "failed"


def _order(standing: Standing, mean: float, larger: bool) -> tuple[Any, ...]:
    """Return by what points are sorted: the best, others in full by mean, then by how far they came, and by value."""
    if standing.values:
        return (standing.verdict != "best", 0, -mean if larger else mean, standing.point)
    values = [trial.value for trial in standing.trials if trial.value is not None and math.isfinite(trial.value)]
    value = (max if larger else min)(values, default=math.nan)
    epochs = max((max(trial.rungs, default=0) for trial in standing.trials), default=0)
    missing = math.isnan(value) or standing.verdict == "failed"
    return (True, 2 if missing else 1, -epochs, 0.0 if missing else -value if larger else value, standing.point)


def _means(group: Sequence[Trial], monitors: Sequence[str]) -> dict[str, float]:
    """Return the mean of each monitor over the trials in full; empty if one of them is missing."""
    full = [trial.values for trial in group if is_done(trial)]
    if not full or any(not math.isfinite(values.get(name, math.nan)) for values in full for name in monitors):
        return {}
    return {name: math.fsum(values[name] for values in full) / len(full) for name in monitors}


def _with_cheapest(standings: Sequence[Standing]) -> list[Standing]:
    """Mark the cheapest of the points that cannot be distinguished from the best: by training time, then by parameters."""
    equal = [each for each in standings if each.verdict in ("best", "tied")]
    least = min(each.seconds for each in equal)
    quick = [each for each in equal if each.seconds <= SIMILAR * least]
    chosen = min(quick, key=lambda each: (each.parameters, each.seconds)).point
    return [replace(each, cheapest=each.point == chosen) for each in standings]


def _with_front(standings: Sequence[Standing], monitors: Sequence[str], own: Collection[str]) -> list[Standing]:
    """Mark the points that no other dominates."""
    costs = {
        each.point: [-each.means[name] if maximize(name, own) else each.means[name] for name in monitors]
        for each in standings
        if each.means
    }
    front: list[list[float]] = []
    for cost in sorted(costs.values()):  # a point can only be dominated by one before it
        if not any(other != cost and all(a <= b for a, b in zip(other, cost, strict=True)) for other in front):
            front.append(cost)
    return [replace(each, front=costs.get(each.point) in front) for each in standings]


def by_point(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Return the trials of each point."""
    points: dict[int, list[Trial]] = {}
    for trial in trials:
        points.setdefault(trial.point, []).append(trial)
    return list(points.values())


def confirm(trials: Iterable[Trial], *, maximize: bool) -> list[Confirmation]:
    """Return what points reached with fresh seeds, the best first."""
    import numpy as np

    groups = by_point(trial for trial in trials if trial.confirms and is_done(trial))
    if not groups:
        return []
    array, blocks = table_of(groups)
    comparison = compare(array, blocks, maximize=maximize)
    confirmations = []
    for row, group in enumerate(groups):
        values = tuple(array[row][np.isfinite(array[row])].tolist())
        half = half_width(array[row], blocks)
        worse = bool(comparison.worse[row])
        confirmations.append(Confirmation(group[0].point, group[0].words, values, half, _test(group), worse))
    return sorted(confirmations, key=lambda each: -each.mean if maximize else each.mean)


def _test(group: Sequence[Trial]) -> dict[str, tuple[float, float | None]]:
    """Return the mean of each metric of the test split, and half the width of its interval."""
    result = {}
    for name in dict.fromkeys(name for trial in group for name in trial.metrics if name.startswith("test/")):
        values = [trial.metrics.get(name, math.nan) for trial in group]
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            blocks = Blocks(*(_numbered(names) for names in zip(*map(seeds_of, group), strict=True)))
            result[name] = (math.fsum(finite) / len(finite), half_width(values, blocks))
    return result


def mean_ranks(rankings: Sequence[Ranking], *, maximize: bool) -> list[Overall]:
    """Return the settings that were trained in full on every data set, by their mean rank; empty with one data set."""
    if len(rankings) < 2:
        return []
    means: list[dict[Words, float]] = []
    for ranking in rankings:
        full = {_without(each.words, ranking.dataset): each.mean for each in ranking.standings}
        means.append({words: mean for words, mean in full.items() if mean is not None})
    common = [words for words in means[0] if all(words in others for others in means)]
    sign = -1 if maximize else 1
    ranks = [average_ranks([sign * each[words] for words in common]) for each in means]
    rows = [Overall(words, tuple(column)) for words, column in zip(common, zip(*ranks, strict=True), strict=True)]
    return sorted(rows, key=lambda row: row.mean)


def _without(words: Words, others: Words) -> Words:
    return tuple(word for word in words if word not in others)


def contenders(ranking: Ranking) -> list[Standing]:
    """Return the best point and the runner-up, as far as there are any: those that fresh seeds should confirm."""
    best = ranking.best
    return [] if best is None else [best, *(each for each in ranking.standings if each.values and each is not best)][:2]
