"""New points while a sweep runs: drawn at random, or chosen by Optuna's tree-structured Parzen estimator. No torch.

Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; Watanabe, Tree-Structured Parzen
Estimator, arXiv:2304.11127 (the multivariate form, and the constant liar for trials that still run).
"""

import itertools
import logging
import math
import warnings
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from trainctl.errors import ConfigError, UnavailableError
from trainctl.run.metric_names import maximize
from trainctl.settings.points import Point
from trainctl.settings.space import Axis, Choice, Words
from trainctl.sweep.study import Study

BATCH = 16  # random points that are added at a time, if only the clock ends a sweep
TRIES = 30  # attempts to find a point that is new


class Sampler:
    """Adds points to a sweep when its workers have no trial left.

    Args:
        study: The sweep.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.settings = study, study.settings
        self._known: set[str] | None = None  # identities of the points; a grid needs none
        if self.settings.sampler == "tpe":
            _optuna()

    def more(self) -> bool:
        """Add one point, or several random ones; return whether there was room for any, and any left."""
        count, limit = len(self.study.ledger.points), self.settings.trials
        if self.settings.sampler == "grid" or (limit is not None and count >= limit):
            return False
        wanted = 1 if self.settings.sampler == "tpe" else min(BATCH, (limit or count + BATCH) - count)
        points = list(itertools.islice(self._new_points(), wanted))
        if points:  # if another process has added points first, they are taken instead
            entries = [{"point": list(point.words), "drawn": list(drawn)} for drawn, point in points]
            self.study.journal.add_list(self.study.ledger.next_list, entries)
        return bool(points)

    def _new_points(self) -> Iterator[tuple[Words, Point]]:
        """Yield points that the sweep does not have yet; ends when none is found."""
        if self._known is None:
            self._known = {self._point(words).identity for words in self.study.ledger.points}
        for drawn in self._candidates():
            try:
                point = self._point(drawn)
            except ConfigError:  # each value was checked, but these do not go together
                continue
            if point.identity not in self._known:
                self._known.add(point.identity)
                yield drawn, point

    def _point(self, words: Words) -> Point:
        return self.study.composer.compose(words, self.study.composer.space.replicates[0])

    def _candidates(self) -> Iterator[Words]:
        space, seed, count = self.study.composer.space, self.settings.seed, len(self.study.ledger.points)
        if self.settings.sampler == "tpe":
            for attempt in range(TRIES):
                yield ask(self.study, seed + 1000 * count + attempt)
        for number in range(count, count + 100 * BATCH):
            yield space.draw(seed, number)


def ask(study: Study, seed: int) -> Words:
    """Return the point that the estimator proposes after the trials so far."""
    optuna = _optuna()
    monitors = study.settings.monitors or [study.base.monitor]
    directions = ["maximize" if maximize(name, study.maximized) else "minimize" for name in monitors]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls multivariate and constant_liar experimental
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        search = optuna.create_study(directions=directions, sampler=sampler)
        axes = study.composer.space.axes
        distributions = {axis.label: _distribution(axis) for axis in axes}
        for params, values in _history(study, monitors, directions):
            state = optuna.trial.TrialState.COMPLETE if values else optuna.trial.TrialState.RUNNING
            search.add_trial(
                optuna.trial.create_trial(state=state, params=params, distributions=distributions, values=values)
            )
        params = search.ask(distributions).params
    return tuple(itertools.chain.from_iterable(_words(axis, params[axis.label]) for axis in axes))


def _history(
    study: Study, monitors: list[str], directions: list[str]
) -> list[tuple[dict[str, Any], list[float] | None]]:
    """Return the parameters and values of each point; None as values while none of its trials has ended.

    A point with a trial that failed is worse than all others: another one like it is not worth a try.
    """
    measured: dict[int, list[float] | None] = {}
    for number in range(len(study.ledger.points)):
        trials = [trial for trial in study.ledger.trials.values() if trial.point == number and not trial.confirms]
        ended = [trial for trial in trials if trial.status not in ("waiting", "running")]
        values = [[trial.values.get(name, trial.value) for name in monitors] for trial in ended]
        failed = any(trial.status == "failed" for trial in ended) or any(None in row for row in values)
        if ended:
            measured[number] = None if failed else [fmean(column) for column in zip(*values, strict=True)]
    finite = [row for row in measured.values() if row]
    if not finite:
        return []
    worst = [
        math.nextafter(max(column), math.inf) if way == "minimize" else math.nextafter(min(column), -math.inf)
        for way, column in zip(directions, zip(*finite, strict=True), strict=True)
    ]
    history = []
    for number, words in enumerate(study.ledger.points):
        drawn = study.ledger.drawn.get(words, words)
        params = {axis.label: _parameter(axis, drawn) for axis in study.composer.space.axes}
        if None not in params.values():
            history.append((params, (measured[number] or worst) if number in measured else None))
    return history


def _distribution(axis: Axis) -> Any:
    distributions = _optuna().distributions
    if isinstance(axis, Choice):
        return distributions.CategoricalDistribution(range(len(axis.options)))
    if axis.whole:
        return distributions.IntDistribution(int(axis.low), int(axis.high), log=axis.logarithmic)
    return distributions.FloatDistribution(axis.low, axis.high, log=axis.logarithmic)


def _words(axis: Axis, parameter: Any) -> Words:
    return axis.options[parameter] if isinstance(axis, Choice) else axis.word(parameter)


def _parameter(axis: Axis, drawn: Words) -> float | int | None:
    """Return an axis' parameter of a point; None if the point is not of this space."""
    if isinstance(axis, Choice):
        matching = [number for number, option in enumerate(axis.options) if set(option) <= set(drawn)]
        return matching[0] if matching else None
    texts = [word.partition("=")[2] for word in drawn if word.startswith(f"{axis.label}=")]
    return (int(texts[0]) if axis.whole else float(texts[0])) if texts else None


def _optuna() -> Any:
    """Import Optuna, without its log.

    Raises:
        UnavailableError: If it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UnavailableError("sweep=tpe needs Optuna: pip install 'trainctl[sweep]'") from error
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna
