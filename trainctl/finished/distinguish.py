"""Whether the results of runs can be distinguished: by their intervals, or row by row. Imports no torch.

Both say how much a difference would vary with other rows of the same kind. Neither says what other seeds would do: for
that, each run has to be repeated with several of them (:mod:`trainctl.sweep.repeated`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainctl.report import phrases
from trainctl.run.metric_names import maximize

LEVEL = 0.05  # of all comparisons together
HALF_WIDTH = 1.959964  # of a 95 % interval [standard errors]


@dataclass(frozen=True)
class Verdict:
    """How a run compares with the best one.

    Args:
        metric: What they are compared by.
        best: Name of the run with the best value.
        other: Name of the other run.
        values: Their values.
        p: How likely a difference of this size is without a real one.
        level: Below which p the two are distinguishable: 5 % divided by the number of comparisons.
    """

    metric: str
    best: str
    other: str
    values: tuple[float, float]
    p: float
    level: float

    @property
    def distinguishable(self) -> bool:
        """Whether the difference is more than chance."""
        return self.p < self.level

    @property
    def sentence(self) -> str:
        """The verdict in a sentence."""
        one, other = (phrases.number(value) for value in self.values)
        p = "p < 0.0001" if self.p < 1e-4 else f"p = {self.p:.2g}"
        if self.distinguishable:
            return f"{self.metric}: {self.best} is better than {self.other}: {one} against {other} ({p})."
        return f"{self.metric}: {self.best} and {self.other} cannot be distinguished: {one} and {other} ({p})."


def by_intervals(
    metrics: Mapping[str, Mapping[str, float]], intervals: Mapping[str, Mapping[str, Sequence[float]]]
) -> list[Verdict]:
    """Compare runs that were measured on rows of the same kind by the 95 % intervals of their metrics.

    The rows may be the same: the difference is then less uncertain than this says, so what it distinguishes is distinct.

    Args:
        metrics: The metrics of each run, by its name.
        intervals: The ends of the intervals of some of them.

    >>> of = {"a": {"test/accuracy": 0.9}, "b": {"test/accuracy": 0.5}}
    >>> [
    ...     v.distinguishable
    ...     for v in by_intervals(of, {"a": {"test/accuracy": [0.8, 1.0]}, "b": {"test/accuracy": [0.4, 0.6]}})
    ... ]
    [True]
    """
    found: list[Verdict] = []
    for name in dict.fromkeys(name for ends in intervals.values() for name in ends):
        known = {
            run: values[name] for run, values in metrics.items() if name in values and name in intervals.get(run, {})
        }
        best = _best(known, name)
        for run, value in known.items():
            if best is None or run == best:
                continue
            errors = [_error(intervals[each][name]) for each in (best, run)]
            size = math.hypot(*errors)
            distance = abs(known[best] - value)
            p = math.erfc(distance / size / math.sqrt(2)) if size > 0 else float(distance == 0)
            found.append(Verdict(name, best, run, (known[best], value), p, LEVEL / (len(known) - 1)))
    return found


def _best(known: Mapping[str, float], metric: str) -> str | None:
    finite = {run: value for run, value in known.items() if math.isfinite(value)}
    if len(finite) < 2:
        return None
    return (max if maximize(metric) else min)(finite, key=lambda run: finite[run])


def _error(ends: Sequence[float]) -> float:
    """Return the standard error that belongs to a 95 % interval."""
    return (ends[1] - ends[0]) / 2 / HALF_WIDTH


def by_rows(metric: str, losses: Mapping[str, Any]) -> list[Verdict]:
    """Compare runs by what each loses on each row of the same rows.

    Args:
        metric: What the losses belong to: ``.../accuracy`` for 0 where a row is right and 1 where it is wrong; otherwise
            they are errors, of which smaller ones are better.
        losses: Of each run ``(N,)``, by its name.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions, 1947 (exact, as
        a binomial test); for errors the paired t test.
    """
    import numpy as np

    arrays = {run: np.asarray(values, dtype=float) for run, values in losses.items()}
    classes = metric.endswith("/accuracy")
    means = {run: float(values.mean()) for run, values in arrays.items()}
    best = min(means, key=lambda run: means[run])
    found = []
    for run, values in arrays.items():
        if run == best:
            continue
        p = mcnemar(arrays[best] > 0, values > 0) if classes else paired(values - arrays[best])
        shown = (1 - means[best], 1 - means[run]) if classes else (means[best], means[run])
        found.append(Verdict(metric, best, run, shown, p, LEVEL / (len(arrays) - 1)))
    return found


def mcnemar(one: Any, other: Any) -> float:
    """Return the p value of a difference between two models that are wrong on these rows ``(N,)``.

    >>> import numpy as np
    >>> mcnemar(np.array([False] * 10), np.array([True] * 6 + [False] * 4))  # 2 / 2**6
    0.03125
    """
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    total, least = first + second, min(first, second)
    if total == 0:
        return 1.0
    logs = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) - total * math.log(2)
        for k in range(least + 1)
    ]
    return round(min(1.0, 2 * math.fsum(math.exp(value) for value in logs)), 12)


def paired(differences: Any) -> float:
    """Return the p value of a mean difference that is not 0 ``(N,)``.

    >>> import numpy as np
    >>> round(paired(np.array([1.0, 2.0, 3.0])), 4)
    0.0742
    """
    from scipy.special import stdtr

    rows = len(differences)
    if rows < 2:
        return 1.0
    spread = float(differences.std(ddof=1))
    if spread == 0:
        return float(differences.mean() == 0)
    return float(2 * stdtr(rows - 1, -abs(float(differences.mean())) / (spread / math.sqrt(rows))))
