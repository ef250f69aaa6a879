"""The numbers that a run carries from one step to the next; the tensors are in the assembled parts."""

from dataclasses import dataclass, field
from typing import Annotated

from torch import Tensor

from trainctl.components.early_stopping.base import Stopping
from trainctl.components.schedule.base import Reaction

# With ranges, because a state is also read from a file, and checked against these annotations.
Count = Annotated[int, "[0, 9007199254740992]"]  # 2**53
Amount = Annotated[float, "[0, 1e15]"]


@dataclass(frozen=True)
class Best:
    """The best evaluation so far, by the monitored metric.

    Args:
        value: The metric's value.
        step: Optimizer steps done before the evaluation.
        epoch: Epochs done, a fraction inside an epoch.
    """

    value: float
    step: Count
    epoch: Amount


@dataclass
class TrainState:
    """The state that a checkpoint saves and a resumed run starts from; the epoch, and the position in it, follow from ``step``.

    Args:
        step: Optimizer steps done.
        seconds: Time spent training, over all sessions [s].
        stopping: State of the early-stopping rule.
        reaction: State of a schedule that reacts to a metric.
        averaged: How many sets of weights the averaged model is the mean of.
        best: The best evaluation so far.
        best_weights: The evaluated model's weights at the best evaluation.
        position: Position of the newest step on the schedule [steps]: ``step - 1``, unless loop.max_time advances the
            schedule faster.
        evaluated: Step of the newest completed evaluation; lags behind if a signal interrupted the one that was due.
        evaluated_seconds: Time spent training when that evaluation started [s].
        first_loss: Mean training loss up to the first evaluation, with which later losses are compared.
        skipped: Number of steps skipped because of a loss, gradient or update that was not finite.
        skipped_in_row: Number of consecutive steps skipped up to now.
        rewinds: How often the run went back to a checkpoint to continue at a lower rate.
        best_uncompressed: Whether the best evaluation is one of weights that compression was still making smaller.
    """

    step: Count = 0
    seconds: Amount = 0.0
    stopping: Stopping = field(default_factory=Stopping)
    reaction: Reaction = field(default_factory=Reaction)
    averaged: Count = 0
    best: Best | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    position: Count = 0
    evaluated: Count = 0
    evaluated_seconds: Amount = 0.0
    first_loss: float | None = None
    skipped: Count = 0
    skipped_in_row: Count = 0
    rewinds: Count = 0
    best_uncompressed: bool = False
