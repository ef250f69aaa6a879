"""The answer of a sweep: how its points rank, which cannot be distinguished from the best, and the cheapest of those. No torch."""

import math
from dataclasses import dataclass, field
from typing import Literal

from trainctl.run.metric_names import maximize
from trainctl.settings.space import Words
from trainctl.sweep.trial import Trial

# best; tied: cannot be distinguished from the best; worse; untold: trained in full, but with too few seeds to be compared;
# pruned, paused or waiting: no trial was trained in full, and some may still be; failed: no trial can be.
Verdict = Literal["best", "tied", "worse", "untold", "pruned", "paused", "waiting", "failed"]


def is_done(trial: Trial) -> bool:
    """Return whether a trial was trained in full and has a finite value."""
    done = trial.status in ("finished", "stopped")
    return done and trial.value is not None and math.isfinite(trial.value)


@dataclass(frozen=True)
class Standing:
    """How one point did.

    Args:
        point: Its number.
        words: The words in which it differs from others.
        trials: Its trials, without those that only confirm.
        verdict: How it compares with the best.
        values: The monitored metric of each trial that was trained in full.
        half_width: Half the width of the 95 % interval of their mean; None with fewer than two.
        means: The mean of each of several monitors; empty with one.
        cheapest: Whether it is the cheapest of those that cannot be distinguished from the best.
        front: Whether no other point is better in one of several monitors and not worse in any.
    """

    point: int
    words: Words
    trials: tuple[Trial, ...]
    verdict: Verdict
    values: tuple[float, ...] = ()
    half_width: float | None = None
    means: dict[str, float] = field(default_factory=dict)
    cheapest: bool = False
    front: bool = False

    @property
    def mean(self) -> float | None:
        """Return the mean of the monitored metric; None if no trial was trained in full."""
        return math.fsum(self.values) / len(self.values) if self.values else None

    @property
    def seconds(self) -> float:
        """Return the mean training time of its trials [s]: of those in full if there are any."""
        trials = [trial for trial in self.trials if is_done(trial)] or self.trials
        return math.fsum(trial.seconds for trial in trials) / len(trials)

    @property
    def parameters(self) -> int:
        """Return the number of parameters of its model; 0 if unknown."""
        return max(trial.parameters for trial in self.trials)


@dataclass(frozen=True)
class Confirmation:
    """What a point reached with fresh seeds, which did not choose it: the numbers to quote.

    Args:
        point: Its number.
        words: The words in which it differs from others.
        values: The monitored metric with each seed.
        half_width: Half the width of the 95 % interval of their mean; None with fewer than two.
        metrics: For each metric of the test split its mean and half the width of its interval.
        worse: Whether it is worse than the other confirmed point, by these seeds alone.
    """

    point: int
    words: Words
    values: tuple[float, ...]
    half_width: float | None
    metrics: dict[str, tuple[float, float | None]]
    worse: bool

    @property
    def mean(self) -> float:
        """Return the mean of the monitored metric."""
        return math.fsum(self.values) / len(self.values)


@dataclass(frozen=True)
class Ranking:
    """The points of one data set, the best first.

    Args:
        dataset: The words that choose the data set; empty if it does not vary.
        standings: How each point did: those trained in full, then those that came far, then those that failed.
        confirmations: What the best points reached with fresh seeds; empty without.
    """

    dataset: Words
    standings: tuple[Standing, ...]
    confirmations: tuple[Confirmation, ...] = ()

    @property
    def best(self) -> Standing | None:
        """Return the best point; None if none was trained in full."""
        return next((each for each in self.standings if each.verdict == "best"), None)

    @property
    def indistinct(self) -> frozenset[int]:
        """Return the numbers of the points that cannot be distinguished from the best, itself included."""
        return frozenset(each.point for each in self.standings if each.verdict in ("best", "tied"))

    @property
    def cheapest(self) -> Standing | None:
        """Return the cheapest of the points that cannot be distinguished from the best; None if nothing can be compared."""
        return next((each for each in self.standings if each.cheapest), None)

    @property
    def compared(self) -> bool:
        """Return whether any point could be compared with the best: not with one seed."""
        return any(each.verdict in ("tied", "worse") for each in self.standings)


@dataclass(frozen=True)
class Overall:
    """How the same settings did on several data sets.

    Args:
        words: The words, without those of the data set.
        ranks: The rank on each data set, from 1; the mean of the ranks of equal points.
    """

    words: Words
    ranks: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean rank."""
        return math.fsum(self.ranks) / len(self.ranks)


@dataclass(frozen=True)
class Answer:
    """The answer of a sweep.

    Args:
        monitor: The metric that the points are ranked by.
        monitors: All metrics of the Pareto front; empty with one.
        rankings: One for each data set.
        overall: The settings that were trained in full on all data sets, by mean rank; empty with one data set.
        maximized: The user's own metrics of which larger values are better.
    """

    monitor: str
    monitors: tuple[str, ...]
    rankings: tuple[Ranking, ...]
    overall: tuple[Overall, ...] = ()
    maximized: frozenset[str] = frozenset()

    def maximizes(self, metric: str) -> bool:
        """Return whether larger values of a metric are better."""
        return maximize(metric, self.maximized)

    @property
    def standings(self) -> list[Standing]:
        """Return how every point did, by data set."""
        return [standing for ranking in self.rankings for standing in ranking.standings]
