"""Which trial a free worker takes next, and what happens to a trial at a rung: functions of the ledger alone.

Successive halving is asynchronous and promotes, as in Li et al., A System for Massively Parallel Hyperparameter Tuning,
MLSys 2020, Algorithm 2 (ASHA), with a reduction factor of 3: a trial that reaches a rung is paused; a free worker
continues the best paused trial that is in the top third of its rung, else begins a new one. Unlike there, a paused
trial is continued to the last bit, and at the end the best are trained in full.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from trainctl.settings.sweep import Sweep
from trainctl.sweep.ledger import Ledger, ordered
from trainctl.sweep.trial import INTERRUPTED, Trial

REDUCTION = 3  # one in so many trials of a rung is promoted
LEAST = 4  # other trials at a rung, before median prunes


@dataclass(frozen=True)
class Task:
    """What a free worker does next.

    Args:
        key: The trial to begin or continue.
        full: Whether it is trained to its end, past all rungs.
    """

    key: str
    full: bool


@dataclass(frozen=True)
class Policy:
    """How trials are chosen and compared.

    Args:
        settings: The settings of the sweep.
        maximize: Whether a larger value of the monitored metric is better.
    """

    settings: Sweep
    maximize: bool

    def next_task(self, ledger: Ledger, *, anywhere: bool = False) -> Task | None:
        """Return what a free worker does next; None if nothing can be done with the points that there are.

        Args:
            ledger: The sweep.
            anywhere: Also what is left to another machine, which has the checkpoint.
        """
        trials, left = ordered(ledger), ledger.saving | (set() if anywhere else ledger.elsewhere)
        for key, trial in trials:  # 1. What was interrupted, or died, or failed and may be tried again.
            if (key in ledger.dead or self._resumes(trial)) and key not in left:
                return Task(key, self._is_full(ledger, trial))
        best = self._promotable(ledger, left) if self.settings.prune == "asha" else None
        if best is not None:
            return Task(best, full=False)
        for key, trial in trials:
            if trial.status == "waiting" and self._may_begin(ledger, trial):
                return Task(key, self._is_full(ledger, trial))
        return None

    def left_to_others(self, ledger: Ledger) -> str:
        """Return the key of the trial that is to be continued next on another machine, which has its checkpoint; else ""."""
        tasks = (self.next_task(ledger, anywhere=True), self.last_task(ledger))
        return next((task.key for task in tasks if task and task.key in ledger.elsewhere), "")

    def last_task(self, ledger: Ledger) -> Task | None:
        """Return what remains when no new point comes and no worker runs: the best paused trials, in full.

        It may be left to another machine, which has the checkpoint.
        """
        if self.settings.prune != "asha":
            return None
        done = sum(trial.status in ("finished", "stopped") for _, trial in self._competing(ledger))
        paused = [(key, trial) for key, trial in self._competing(ledger) if trial.status == "paused"]
        if done >= self.settings.finalists or not paused:
            return None
        highest = max(len(trial.rungs) for _, trial in paused)
        candidates = [(key, trial) for key, trial in paused if len(trial.rungs) == highest]
        return Task(min(candidates, key=lambda item: self._loss(item[1]))[0], full=True)

    def at_rung(self, ledger: Ledger, key: str, rung: int) -> Literal["continue", "pause", "prune"]:
        """Return what happens to a trial that has just reached a rung, which the ledger knows already."""
        if self.settings.prune == "median":
            return "prune" if self._below_median(ledger, key, rung) else "continue"
        if self.settings.prune == "asha":
            return "continue" if key in self._top(ledger, rung) else "pause"
        return "continue"

    def rungs(self, full: bool, epochs: float | None = None) -> list[int]:
        """Return after which epochs a trial is compared with others: before its last one, for then it is complete.

        Args:
            full: Whether it is trained to its end.
            epochs: Those of its schedule; None if steps or a clock limit it.
        """
        if full or self.settings.prune == "none":
            return []
        return [rung for rung in self.settings.rungs if epochs is None or rung < epochs]

    def _resumes(self, trial: Trial) -> bool:
        """Return whether a trial continues before any new one begins: it was interrupted, or is tried again."""
        if trial.status == "failed":
            return trial.attempts <= self.settings.retries
        return trial.status == "paused" and trial.reason == INTERRUPTED

    def _competing(self, ledger: Ledger) -> Iterator[tuple[str, Trial]]:
        """Yield the trials that are compared at rungs: the first repetition of every point."""
        first = ledger.replicates[0]
        return ((key, trial) for key, trial in ledger.trials.items() if trial.replicate == first and not trial.confirms)

    def _is_full(self, ledger: Ledger, trial: Trial) -> bool:
        return trial.confirms or (self.settings.prune == "asha" and trial.replicate != ledger.replicates[0])

    def _may_begin(self, ledger: Ledger, trial: Trial) -> bool:
        """Return whether a waiting trial is worth beginning: with asha, further seeds are for the points that were trained in full."""
        if not self._is_full(ledger, trial) or trial.confirms:
            return True
        finals = [other for _, other in self._competing(ledger) if other.status in ("finished", "stopped")]
        best = sorted(finals, key=self._loss)[: self.settings.finalists]
        return any(other.point == trial.point for other in best) and len(finals) >= self.settings.finalists

    def _loss(self, trial: Trial) -> float:
        if trial.value is None:
            return float("inf")
        return -trial.value if self.maximize else trial.value

    def _at(self, trial: Trial, rung: int) -> float:
        return -trial.rungs[rung] if self.maximize else trial.rungs[rung]

    def _top(self, ledger: Ledger, rung: int) -> set[str]:
        """Return the keys of the top third of a rung."""
        reached = [
            (self._at(trial, rung), trial.point, key) for key, trial in self._competing(ledger) if rung in trial.rungs
        ]
        return {key for *_, key in sorted(reached)[: len(reached) // REDUCTION]}

    def _promotable(self, ledger: Ledger, left: Set[str]) -> str | None:
        """Return the best paused trial in the top third of the highest rung that has one, without those left to others."""
        for rung in reversed(self.settings.rungs):
            top = self._top(ledger, rung)
            paused = [
                (self._at(trial, rung), trial.point, key)
                for key, trial in self._competing(ledger)
                if key in top - left and trial.status == "paused" and max(trial.rungs) == rung
            ]
            if paused:
                return min(paused)[2]
        return None

    def _below_median(self, ledger: Ledger, key: str, rung: int) -> bool:
        """Return whether a trial is worse than the median of the others with the same seeds at that rung, or has no value.

        As in Golovin et al., Google Vizier, KDD 2017, section 3.2.1, with the best value so far in place of the running mean.
        """
        own = ledger.trials[key]
        if rung not in own.rungs:
            return True  # its metric was never finite
        others = sorted(
            self._at(trial, rung)
            for other, trial in ledger.trials.items()
            if other != key and rung in trial.rungs and trial.replicate == own.replicate
        )
        return len(others) >= LEAST and self._at(own, rung) > _median(others)


def _median(values: Sequence[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
