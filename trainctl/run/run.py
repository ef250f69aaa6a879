"""The assembled parts of one run: what measuring needs, and what training adds to it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainctl.components.augment.base import Augment, Mixer, Tracker
from trainctl.components.average.base import Average
from trainctl.components.early_stopping.base import Rule
from trainctl.components.loss.base import Loss, Task
from trainctl.components.regularizer.base import Regularizer
from trainctl.components.schedule.base import Schedule
from trainctl.data.order import Order
from trainctl.data.rows import Data, SplitName
from trainctl.machine.threads import ThreadChoice
from trainctl.machine.world import ALONE, World
from trainctl.run.state import TrainState
from trainctl.run.sums import Sums
from trainctl.settings.config import Config

TYPICAL = 256  # rows whose mean target is close enough to that of all


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
class Evaluation:
    """Everything that measuring needs: a model, data, and what is measured.

    Args:
        task: The model's.
        data: Rows and scalings.
        model: The model that is measured; of a run that averages its weights, the averaged one.
        loss: Its mean over the rows is measured too.
        device: Where model and rows are.
        precision: Of the forward pass.
        batch_size: Rows that are computed at once; no metric depends on it.
        world: The processes that measure together.
    """

    task: Task
    data: Data
    model: nn.Module
    loss: Loss
    device: torch.device
    precision: str
    batch_size: int
    world: World = ALONE

    def new_sums(self, split: SplitName = "train") -> Sums:
        """Return running sums for the task's metrics over a split, at zero."""
        schema = self.data.schema
        columns = {"classification": 1, "regression": schema.outputs, "reconstruction": math.prod(schema.input_shape)}
        units = self.data.target_scale if self.task == "regression" else None
        rows, typical = self.data.splits[split], None
        if len(rows) and self.task != "classification":
            inputs, targets = rows.sample(TYPICAL)
            typical = targets if self.task == "regression" else self.data.input_scale(inputs)
        return Sums(self.task, columns[self.task], units, self.device, self.world, typical)


@dataclass(frozen=True)
class Run:
    """Everything a training loop needs; only ``state`` and the tensors inside the parts change.

    Args:
        config: Checked.
        evaluation: What measuring needs.
        model: The model that is trained.
        average: The model that is evaluated and kept, and how it follows the one that is trained.
        augment: Augmentations, in their order.
        regularizers: Penalties and projections.
        optimizer: Over the model's parameters.
        scaler: Of the loss, for fp16.
        schedule: Of the learning rate.
        early_stopping: Says when to stop.
        plan: How the budget is spent.
        sums: Of the training metrics since the last evaluation.
        state: What a checkpoint saves.
        threads: How many compute, and why.
    """

    config: Config
    evaluation: Evaluation
    model: nn.Module
    average: Average
    augment: tuple[Augment | Mixer | Tracker, ...]
    regularizers: tuple[Regularizer, ...]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    schedule: Schedule
    early_stopping: Rule
    plan: Plan
    sums: Sums
    state: TrainState
    threads: ThreadChoice

    @property
    def task(self) -> Task:
        """The model's task."""
        return self.evaluation.task

    @property
    def data(self) -> Data:
        """Rows and scalings."""
        return self.evaluation.data

    @property
    def loss(self) -> Loss:
        """What is minimized, without penalties."""
        return self.evaluation.loss

    @property
    def device(self) -> torch.device:
        """Where model and rows are."""
        return self.evaluation.device

    @property
    def world(self) -> World:
        """The processes that train together."""
        return self.evaluation.world

    @property
    def order(self) -> Order:
        """Which training rows each step visits."""
        return Order(self.data.splits["train"], self.plan.batch_size, self.config.seed, self.device)

    @property
    def epoch(self) -> float:
        """Epochs done, a fraction inside an epoch."""
        return self.state.step / self.plan.steps_per_epoch

    @property
    def changing_tensors(self) -> dict[str, Tensor]:
        """The tensors that steps and evaluations change, by name; those of the optimizer are its own state."""
        named = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        if self.average.model is not self.model:
            named |= {f"average.{key}": value for key, value in self.average.model.state_dict().items()}
        return named | {"sums": self.sums.sums}

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)
