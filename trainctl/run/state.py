"""Every number that is carried from one step to the next; the tensors are in the assembled parts."""

from dataclasses import dataclass, field

from torch import Tensor

from trainctl.components.early_stopping.base import Stopping
from trainctl.components.schedule.base import Reaction


@dataclass(frozen=True)
class Best:
    """The best evaluation so far, by the monitored metric.

    Args:
        value: Of the metric.
        step: Optimizer steps done when it was measured.
        epoch: Epochs done, a fraction inside an epoch.
    """

    value: float
    step: int
    epoch: float


@dataclass
class TrainState:
    """What a checkpoint saves and a resumed run starts from; the epoch, and the place in it, follow from ``step``.

    Args:
        step: Optimizer steps done.
        seconds: Time spent training, over all sessions [s].
        stopping: The early-stopping rule's memory.
        reaction: The memory of a schedule that reacts to a metric.
        averaged: Weights in the running mean of the evaluated model.
        best: The best evaluation so far.
        best_weights: The evaluated model's state at that step.
        position: Where on its schedule the newest step was taken [steps]: one below ``step``, unless the clock moves the
            schedule on.
        evaluated: Step of the newest completed evaluation; lags behind if a signal interrupted the one that was due.
        evaluated_seconds: Time spent training when that evaluation began [s].
        first_loss: Mean training loss up to the first evaluation; what a later one is compared with.
        skipped: Steps that were skipped because their numbers were not finite.
        skipped_in_row: How many of the newest steps were, one after the other.
        rewinds: How often the run went back to a checkpoint to continue at a lower rate.
    """

    step: int = 0
    seconds: float = 0.0
    stopping: Stopping = field(default_factory=Stopping)
    reaction: Reaction = field(default_factory=Reaction)
    averaged: int = 0
    best: Best | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    position: int = 0
    evaluated: int = 0
    evaluated_seconds: float = 0.0
    first_loss: float | None = None
    skipped: int = 0
    skipped_in_row: int = 0
    rewinds: int = 0
