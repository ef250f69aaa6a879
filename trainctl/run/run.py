"""The assembled parts of one run."""

from dataclasses import dataclass

import torch
from torch import nn

from trainctl.components.augment.base import Augment, Mixer, Tracker
from trainctl.components.average.base import Average
from trainctl.components.early_stopping.base import Rule
from trainctl.components.loss.base import Loss, Task
from trainctl.components.regularizer.base import Regularizer
from trainctl.components.schedule.base import Schedule
from trainctl.data.rows import Data
from trainctl.machine.threads import ThreadChoice
from trainctl.machine.world import ALONE, World
from trainctl.run.state import TrainState
from trainctl.run.sums import Sums
from trainctl.settings.config import Config


@dataclass(frozen=True)
class Plan:
    """How the budget is spent.

    Args:
        batch_size: Rows in an optimizer step.
        steps_per_epoch: Optimizer steps in a pass over the training split.
        total_steps: Optimizer steps in the whole run, unless the clock or early stopping ends it before; where
            only the clock ends it, the length that its schedule is stretched from.
        eval_every: Optimizer steps between evaluations.
        by_clock: Whether only the clock, or early stopping, ends the run.
    """

    batch_size: int
    steps_per_epoch: int
    total_steps: int
    eval_every: int
    by_clock: bool = False


@dataclass(frozen=True)
class Run:
    """Everything a training loop needs; only ``state`` and the tensors inside the parts change."""

    config: Config
    task: Task
    data: Data
    model: nn.Module
    average: Average
    augment: tuple[Augment | Mixer | Tracker, ...]
    loss: Loss
    regularizers: tuple[Regularizer, ...]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    schedule: Schedule
    early_stopping: Rule
    device: torch.device
    plan: Plan
    sums: Sums
    state: TrainState
    threads: ThreadChoice
    world: World = ALONE

    @property
    def epoch(self) -> float:
        """Epochs done, a fraction inside an epoch."""
        return self.state.step / self.plan.steps_per_epoch

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)
