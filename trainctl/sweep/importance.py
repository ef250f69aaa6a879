"""How much each swept setting matters for the metric. Imports no torch."""

import math
from collections import defaultdict
from collections.abc import Sequence

from trainctl.settings.space import Words, key_of
from trainctl.sweep.answer import Standing
from trainctl.sweep.statistics import average_ranks

BINS = 5  # groups of a setting with more values than can be compared, by size
LEAST = 2  # points for each value of a setting, on average, below which its values are grouped


def values_of(standings: Sequence[Standing]) -> dict[str, list[str]]:
    """Return for each key that varies its value at each point; empty where the key does not apply."""
    rows = [words_by_key(standing.words) for standing in standings]
    columns = {key: [row.get(key, "") for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}
    return {key: column for key, column in columns.items() if len(set(column)) > 1}


def words_by_key(words: Words) -> dict[str, str]:
    """Return the value of each key.

    >>> words_by_key(("optimizer=sgd", "+optimizer.lr=0.1"))
    {'optimizer': 'sgd', 'optimizer.lr': '0.1'}
    """
    return {key_of(word): word.partition("=")[2] for word in words}


def numbers(values: Sequence[str]) -> list[float] | None:
    """Return values as numbers, NaN for an empty one; None unless all others are finite numbers.

    >>> numbers(["1e-3", "", "10"]), numbers(["adam", "1"])
    ([0.001, nan, 10.0], None)
    """
    result = []
    for value in values:
        try:
            number = float(value) if value else math.nan
        except ValueError:
            return None
        if math.isinf(number) or (value and math.isnan(number)):
            return None
        result.append(number)
    return result


def importances(standings: Sequence[Standing], *, maximize: bool) -> dict[str, float]:
    r"""Return for each setting the share of the variance between points that its values explain alone, in [0, 1].

    The points are ranked, the failed ones last, so that a diverged point has no more weight than any other. With
    :math:`L` groups of points that have the same value, :math:`N` points and sums of squares :math:`S` of the ranks:

    .. math:: \epsilon^2 = \max\left(0, \frac{S_{between} - (L - 1) S_{within} / (N - L)}{S_{total}}\right)

    which is 0 on average for a setting that has no effect. The seeds take no part, as a point is a mean over them.
    What settings do only together is in no share; for a design that is not a grid, a share may belong in part to
    another setting. The values of a continuous setting are grouped into five of equal size.

    Args:
        standings: How each point did. Those that are not trained in full are ranked by what they reached.
        maximize: Whether larger values of the metric are better.

    Returns:
        The share of each key that varies, the largest first; without keys for which it cannot be estimated.

    Source: T. Kelley, An unbiased correlation ratio measure, PNAS 1935 (the correction); W. Kruskal and W. Wallis, Use
        of ranks in one-criterion variance analysis, 1952 (the ranks).
    """
    known = [each for each in standings if each.values or each.verdict in ("pruned", "paused", "failed")]
    scores = _ranks(known, maximize)
    shares = {}
    for key, column in values_of(known).items():
        share = _share(grouped(column), scores)
        if share is not None:
            shares[key] = share
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _ranks(standings: Sequence[Standing], larger: bool) -> list[float]:
    """Return the rank of each point, equal ones sharing theirs."""
    keys = []
    for each in standings:
        values = [trial.value for trial in each.trials if trial.value is not None and math.isfinite(trial.value)]
        value = each.mean if each.mean is not None else (max if larger else min)(values, default=None)
        lost = value is None or each.verdict == "failed"
        keys.append((lost, 0.0 if lost or value is None else -value if larger else value))
    return average_ranks(keys)


def grouped(column: Sequence[str]) -> list[str]:
    """Return the group of each value: itself, or that of its size if there are too few points for each value."""
    amounts = numbers(column)
    if amounts is None or len(column) >= LEAST * len(set(column)):
        return list(column)
    ordered = sorted(amount for amount in amounts if not math.isnan(amount))
    bins = max(1, min(BINS, len(ordered) // LEAST))
    edges = [ordered[len(ordered) * edge // bins] for edge in range(1, bins)]
    return ["" if math.isnan(amount) else str(sum(amount >= edge for edge in edges)) for amount in amounts]


def _share(groups: Sequence[str], scores: Sequence[float]) -> float | None:
    """Return the corrected share of the variance of the scores that lies between groups; None without enough points."""
    members: dict[str, list[float]] = defaultdict(list)
    for group, score in zip(groups, scores, strict=True):
        members[group].append(score)
    mean = math.fsum(scores) / len(scores)
    total = math.fsum((score - mean) ** 2 for score in scores)
    spare = len(scores) - len(members)
    if total == 0 or spare < 1 or len(members) < 2:
        return None
    between = math.fsum(len(each) * (math.fsum(each) / len(each) - mean) ** 2 for each in members.values())
    return max(0.0, (between - (len(members) - 1) * (total - between) / spare) / total)
