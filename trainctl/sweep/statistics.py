"""Intervals of means, and which points are worse than the best. Pure functions on arrays; no torch.

A *point* is a choice of settings; a *block* is a choice of seeds, ``(seed, split.seed)``, with which each point is
trained. Points are compared by their differences within blocks, so that what a seed does to all points cancels.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainctl.sweep.studentized import critical_range

# What a comparison of so many points is allowed to err in. With a spread of its own for each pair, the rate of
# errors in simulations is up to half a per cent above the level, and more with three points: docs/decisions.md.
LEVELS = {2: 0.05, 3: 0.03}
LEVEL = 0.04
MOST = 200  # points from whose pairs the common spread is estimated: the best ones
CAUTION = 0.5  # of the weight that the estimate gives to the common spread
ROUNDING = 1e-9  # of the largest value: smaller spreads are rounding errors


@dataclass(frozen=True)
class Blocks:
    """The blocks, each named by its two seeds.

    Args:
        seeds: The number of the seed of each block, from 0; of shape (blocks,).
        splits: The number of the split's seed of each block, from 0; of shape (blocks,).
    """

    seeds: tuple[int, ...]
    splits: tuple[int, ...]

    @property
    def factors(self) -> list[tuple[int, ...]]:
        """Return what was varied: both seeds if they were varied independently, else the blocks as they are."""
        both = [self.seeds, self.splits]
        crossed = len(self.seeds) > max(len(set(numbers)) for numbers in both)
        return both if crossed else [tuple(range(len(self.seeds)))]


@dataclass(frozen=True)
class Comparison:
    """How points compare with the best; arrays of shape (points,).

    Args:
        best: The number of the best point; None if no point has a value.
        means: The mean of each point, without the effects of the blocks; NaN without a value.
        tested: Whether the point shares at least two blocks with the best, so that they can be compared.
        worse: Whether it is worse than the best.
    """

    best: int | None
    means: Any
    tested: Any
    worse: Any


def half_width(values: Sequence[float], blocks: Blocks) -> float | None:
    """Return half the width of the 95 % interval of a mean; None if there are too few values.

    It is Student's t interval. If seeds and splits were varied independently, repetitions that share one of them are
    not independent: then the variance of the mean is that between seeds plus that between splits.

    Args:
        values: One for each block; NaN where it is missing.
        blocks: The blocks.

    >>> round(half_width([1.0, 2.0, 3.0], Blocks((0, 1, 2), (0, 0, 0))), 4)  # 4.3027 / sqrt(3)
    2.4841
    """
    import numpy as np
    from scipy.special import stdtrit

    row = np.asarray(values, dtype=float)[None, :]
    variance, freedom = mean_variances(np.where(np.isfinite(row), row, np.nan), blocks)
    if freedom[0] < 1:
        return None
    return float(stdtrit(freedom[0], 0.975) * math.sqrt(variance[0]))


def compare(values: Any, blocks: Blocks, *, maximize: bool) -> Comparison:
    r"""Return which points are worse than the best: wrongly for any of them in at most 5 % of sweeps.

    For point :math:`i` and the best one :math:`b`, with differences :math:`d_{ij} = y_{bj} - y_{ij}` in the
    :math:`m` blocks that both have, :math:`i` is worse if

    .. math:: \bar d_i / \sqrt{\tilde v_i / m} > q(k, \tilde\nu_i) / \sqrt 2

    where :math:`q` is the critical value of Tukey's studentized range for all :math:`k` points. It allows for the best
    one being chosen after the fact. The variance :math:`\tilde v_i` of the differences lies between their own one and
    that of all pairs of points, by as much as those agree: with equal variances this is Tukey's test on a two-way
    layout, and a point that diverges with some seeds does not hide the differences between the others.

    Args:
        values: Of shape (points, blocks); NaN where there is none.
        blocks: The blocks.
        maximize: Whether larger values are better.

    Source: J. Tukey, The problem of multiple comparisons, 1953; G. Smyth, Linear models and empirical Bayes methods
        for assessing differential expression, 2004, section 6 (the variances). The combination, and the levels, are
        ours; they were set by simulation.
    """
    import numpy as np

    array = np.asarray(values, dtype=float)
    array = np.where(np.isfinite(array), array, np.nan) * (1 if maximize else -1)
    counts = (~np.isnan(array)).sum(1)
    nothing = np.zeros(len(array), dtype=bool)
    if not counts.any():
        return Comparison(None, np.full(len(array), np.nan), nothing, nothing)
    means = adjusted_means(array)
    eligible = np.where(2 * counts >= counts.max(), means, -np.inf)  # not a point that is lucky with one seed
    best = int(np.argmax(eligible))
    differences = array[best] - array
    shared = (~np.isnan(differences)).sum(1)
    tested = (shared >= 2) & (np.arange(len(array)) != best)
    worse = nothing.copy()
    groups = int(tested.sum()) + 1
    if groups > 1:
        chosen = np.flatnonzero(tested)
        common = _common(array[_leaders(array, eligible, tested | (np.arange(len(array)) == best))], blocks)
        worse[chosen] = _worse(differences[chosen], blocks, common, groups)
    return Comparison(best, means if maximize else -means, tested, worse)


def _leaders(array: Any, eligible: Any, compared: Any) -> Any:
    """Return the points with the best means, of those that are compared: shape (at most ``MOST``,)."""
    import numpy as np

    order = np.argsort(-np.where(compared, eligible, -np.inf), kind="stable")
    return order[: min(MOST, int(compared.sum()))]


def _worse(differences: Any, blocks: Blocks, common: tuple[float, float, float], groups: int) -> Any:
    """Return for each row of differences to the best whether they are significant: shape (points,)."""
    import numpy as np

    weight, spread, most = common
    shared = (~np.isnan(differences)).sum(1)
    variance, freedom = mean_variances(differences, blocks)
    variance = variance * shared
    if math.isinf(weight):
        variance, freedom = np.full(len(variance), spread), np.full(len(variance), most)
    else:
        total = np.maximum(weight + freedom, 1e-12)
        variance, freedom = (weight * spread + freedom * variance) / total, np.minimum(total, most)
    means = np.nansum(differences, axis=1) / shared
    level = LEVELS.get(groups, LEVEL)
    limits = np.array([critical_range(groups, _rounded(degrees), level) for degrees in freedom]) / math.sqrt(2)
    known = variance > (ROUNDING * np.nanmax(np.abs(differences), initial=0.0)) ** 2
    return known & (means > limits * np.sqrt(variance / shared))


def _rounded(freedom: float) -> float:
    """Round degrees of freedom down, so that few critical values are needed."""
    step = 0.25 if freedom < 10 else 1.0 if freedom < 100 else 10.0
    return max(1.0, min(1e4, math.floor(freedom / step) * step))


def _common(array: Any, blocks: Blocks) -> tuple[float, float, float]:
    """Return what all pairs of points know about the variance of a difference in one block.

    Args:
        array: Of shape (points, blocks).
        blocks: The blocks.

    Returns:
        The weight of the common variance [degrees of freedom], infinite if all variances are equal, 0 if too few are
        known; that variance; and the degrees of freedom that any estimate has at most.
    """
    import numpy as np

    first, second = np.triu_indices(len(array), 1)
    pairs = array[first] - array[second]
    variance, freedom = mean_variances(pairs, blocks)
    variance = variance * (~np.isnan(pairs)).sum(1)
    scale = np.nanmax(np.abs(array), initial=0.0)
    usable = (freedom >= 1) & (variance > (ROUNDING * scale) ** 2)
    repeats = min(len(set(numbers)) for numbers in blocks.factors) - 1
    most = float((len(array) - 1) * repeats)
    if usable.sum() < 3:
        return 0.0, 0.0, most
    weight, spread = _shrinkage(variance[usable], freedom[usable])
    return CAUTION * weight, spread, most


def _shrinkage(variance: Any, freedom: Any) -> tuple[float, float]:
    r"""Return how many degrees of freedom the common variance is worth, and that variance.

    True variances that follow a scaled inverse :math:`\chi^2` distribution with :math:`\nu_0` degrees of freedom add
    :math:`\psi'(\nu_0 / 2)` to the variance of the logarithms of the estimates, which is :math:`\psi'(\nu / 2)`.

    Source: Smyth 2004, section 6.2.
    """
    import numpy as np
    from scipy.special import digamma, polygamma

    variance = np.maximum(variance, 1e-5 * np.median(variance))
    logs = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, freedom / 2).mean())
    if excess <= 0:
        return math.inf, float((variance * freedom).sum() / freedom.sum())
    half = 0.5 + 1 / excess  # Newton's method for psi'(half) = excess
    for _ in range(50):
        value = float(polygamma(1, half))
        half += value * (1 - value / excess) / float(polygamma(2, half))
    return 2 * half, float(np.exp(logs.mean() + digamma(half) - math.log(half)))


def mean_variances(values: Any, blocks: Blocks) -> tuple[Any, Any]:
    """Return the variance of the mean of each row, and its degrees of freedom, both of shape (rows,).

    If seeds and splits were varied independently, it is the variance between the means of the seeds plus that between
    the means of the splits, which is slightly too large; Satterthwaite's degrees of freedom.

    Args:
        values: Of shape (rows, blocks); NaN where there is none.
        blocks: The blocks.

    Source: F. Satterthwaite, An approximate distribution of estimates of variance components, 1946.
    """
    import numpy as np

    parts = [_between(values, numbers) for numbers in blocks.factors]
    if len(parts) == 1:
        return parts[0]
    total = parts[0][0] + parts[1][0]
    terms = sum(variance**2 / np.maximum(freedom, 1) for variance, freedom in parts)
    least = np.minimum(parts[0][1], parts[1][1])
    freedom = np.where(terms > 0, total**2 / np.where(terms > 0, terms, 1), least)
    return total, np.where(least >= 1, freedom, 0.0)


def _between(values: Any, numbers: Sequence[int]) -> tuple[Any, Any]:
    """Return the variance of the mean of each row from the means of each level, and its degrees of freedom."""
    import numpy as np

    levels = sorted(set(numbers))
    member = (np.array(numbers)[:, None] == np.array(levels)).astype(float)  # (blocks, levels)
    present = ~np.isnan(values)
    counts = present @ member
    means = np.where(present, values, 0.0) @ member / np.maximum(counts, 1)
    used = counts > 0
    number = used.sum(1)
    centre = (means * used).sum(1) / np.maximum(number, 1)
    squares = (used * (means - centre[:, None]) ** 2).sum(1)
    return squares / np.maximum(number - 1, 1) / np.maximum(number, 1), np.maximum(number - 1, 0).astype(float)


def adjusted_means(values: Any) -> Any:
    """Return the mean of each row without the effects of the columns, so that rows with other gaps can be compared.

    A column's effect is the median of what remains of it; the mean of all effects is 0. Without gaps these are the
    plain means.

    Args:
        values: Of shape (points, blocks); NaN where there is none.

    Returns:
        Shape (points,); NaN for a row without a value.
    """
    import numpy as np

    present = ~np.isnan(values)
    counts = present.sum(1)
    effects = np.zeros(values.shape[1])
    columns = [np.flatnonzero(column) for column in present.T]
    means = np.full(len(values), np.nan)
    for _ in range(10 if not present.all() else 1):
        sums = np.where(present, values - effects, 0.0).sum(1)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        new = [np.median(values[rows, j] - means[rows]) if len(rows) else 0.0 for j, rows in enumerate(columns)]
        effects = np.array(new) - np.mean(new)
    return means


def average_ranks(keys: Sequence[Any]) -> list[float]:
    """Return the rank of each key, from 1 for the smallest; equal keys share the mean of theirs.

    >>> average_ranks([0.3, 0.1, 0.3])
    [2.5, 1.0, 2.5]
    """
    ranks = defaultdict(list)
    for rank, key in enumerate(sorted(keys), 1):
        ranks[key].append(rank)
    return [math.fsum(ranks[key]) / len(ranks[key]) for key in keys]
