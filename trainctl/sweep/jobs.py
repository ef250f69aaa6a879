"""What the pool keeps of each of its workers, and the message that gives one of them a trial. Imports no torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainctl.settings.config import Config, Tree
from trainctl.sweep.live import Progress
from trainctl.sweep.messages import Channel, Message
from trainctl.sweep.study import Study
from trainctl.sweep.trial import INTERRUPTED, Trial


@dataclass
class Worker:
    """A process that trains trials.

    Args:
        channel: The channel to it.
        pid: Its process.
        slot: Its place in the pool, which chooses its GPU.
        key: The trial that it trains; None if it is free.
        segment: The segment of that trial.
        trial: That trial.
        step: The newest step that it reported.
        first: The step with which it began.
        since: When that step changed [s of the monotonic clock].
        killed: Why the pool has killed it.
        best: The best value of the monitored metric so far.
        progress: What is shown of the trial.
    """

    channel: Channel
    pid: int
    slot: int
    key: str | None = None
    segment: int = 0
    trial: Trial | None = None
    step: int = -1
    first: int = 0
    since: float = 0.0
    killed: str = ""
    best: float | None = None
    progress: Progress | None = None

    def take(self, key: str, segment: int, trial: Trial, now: float) -> None:
        """Note the trial that it gets."""
        self.key, self.segment, self.trial = key, segment, trial
        self.step, self.first, self.since, self.killed, self.best = -1, trial.step, now, "", trial.value

    def is_stuck(self, ending: Mapping[str, Any]) -> bool:
        """Return whether its trial was interrupted before it took a step: continued each time, it would never end."""
        interrupted = ending["status"] == "paused" and ending["reason"] == INTERRUPTED
        return interrupted and (ending.get("step") or 0) <= self.first


def job(study: Study, trial: Trial, tree: Tree, rungs: Sequence[int], *, continues: bool) -> Message:
    """Return the message that gives a worker a trial to train.

    Args:
        study: The sweep.
        trial: The trial.
        tree: Its configuration.
        rungs: The rungs that are yet to come [epochs].
        continues: Whether it continues the trial's run.
    """
    return {
        "home": str(study.home.absolute()), "name": trial.directory.name, "cwd": os.getcwd(),
        "tree": tree, "words": study.words_of(trial), "rungs": list(rungs), "value": trial.value,
        "monitors": study.settings.monitors, "continues": continues, "curve": study.settings.storage is not None,
    }  # fmt: skip


def epochs_of(config: Config) -> float | None:
    """Return the epochs of a run's schedule; None if steps or a clock limit it."""
    loop = config.loop
    return loop.epochs if loop.max_steps is None and loop.max_time is None else None
