"""The assembled parts of a run: those that measure a model, and those that train it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainctl.components.augment.base import Augment, Mixer, Tracker
from trainctl.components.average.base import Average
from trainctl.components.compress.base import Constraint, Moment
from trainctl.components.early_stopping.base import Rule
from trainctl.components.loss.base import Loss, Task
from trainctl.components.metric.base import Metric
from trainctl.components.regularizer.base import Regularizer
from trainctl.components.schedule.base import Schedule
from trainctl.components.teacher.base import Teacher
from trainctl.data.choose_order import AnyOrder, order_of
from trainctl.data.rows import Data, SplitName
from trainctl.machine.threads import ThreadChoice
from trainctl.machine.world import ALONE, World
from trainctl.run.freezer import Freezer
from trainctl.run.metric_names import maximize
from trainctl.run.model import held
from trainctl.run.parent import Parent
from trainctl.run.state import TrainState
from trainctl.run.sums import Sums
from trainctl.run.transfer import LayerStart
from trainctl.settings.config import Config

TYPICAL = 256  # rows whose mean target is close enough to that of all


@dataclass(frozen=True)
class Plan:
    """The length of a run, in steps.

    Args:
        batch_size: Rows with a label in an optimizer step.
        steps_per_epoch: Optimizer steps in a pass over the training rows.
        total_steps: Optimizer steps in the whole run, unless loop.max_time or early stopping ends it before; if only
            loop.max_time limits the run, the length for which its schedule is planned.
        eval_every: Optimizer steps between evaluations.
        by_clock: Whether neither epochs nor steps limit the run, only loop.max_time or early stopping.
        unlabeled_size: Rows without a label in an optimizer step, in addition to ``batch_size`` rows with one.
    """

    batch_size: int
    steps_per_epoch: int
    total_steps: int
    eval_every: int
    by_clock: bool = False
    unlabeled_size: int = 0


@dataclass(frozen=True)
class Evaluation:
    """The parts that measure a model: the model, the data and the loss.

    Args:
        task: The model's task.
        data: Rows and scalings.
        model: The model to measure; the averaged model if the run averages weights.
        loss: The loss, whose mean over the rows is one of the metrics.
        device: The device of model and rows.
        precision: Precision of the forward pass.
        batch_size: Rows in a forward pass; no metric depends on it.
        metrics: Further metrics, computed from all rows of a split together.
        world: The processes that measure together.
        maximized: The user's own metrics of which larger values are better.
        lockstep: Whether every forward pass needs all processes at once, as each has a share of the weights.
    """

    task: Task
    data: Data
    model: nn.Module
    loss: Loss
    device: torch.device
    precision: str
    batch_size: int
    metrics: tuple[Metric, ...] = ()
    world: World = ALONE
    maximized: frozenset[str] = frozenset()
    lockstep: bool = False

    def maximizes(self, metric: str) -> bool:
        """Return whether larger values of a metric are better."""
        return maximize(metric, self.maximized)

    def new_sums(self, split: SplitName = "train") -> Sums:
        """Return running sums for the task's metrics over a split, initially zero."""
        schema = self.data.schema
        columns = {"classification": 1, "regression": schema.outputs, "reconstruction": math.prod(schema.input_shape)}
        units = self.data.target_scale if self.task == "regression" else None
        rows, typical = self.data.splits[split], None
        if len(rows) and self.task != "classification":
            inputs, targets = rows.sample(TYPICAL)
            typical = targets if self.task == "regression" else self.data.input_scale(inputs)
        return Sums(self.task, columns[self.task], units, self.device, typical)


@dataclass(frozen=True)
class Run:
    """All parts that the training loop needs; only ``state`` and the tensors in the parts change.

    Args:
        config: The checked configuration.
        evaluation: The parts that measure the model.
        model: The model to train.
        average: The model that is evaluated and saved, and the rule that updates it from the trained model.
        augment: Augmentations, in their order.
        regularizers: Penalties and projections.
        teacher: What the model learns from in addition to the labels.
        taught: What the teacher says about each training row ``(N, ...)``, those with a label first, if it is stored.
        teacher_weight: The weight of the teacher in the newest step, a scalar on the device.
        constraints: What compression does to the weights.
        optimizer: The optimizer of the model's parameters.
        scaler: Gradient scaler for fp16.
        schedule: Schedule of the learning rate.
        early_stopping: Rule that decides when to stop.
        plan: The run's length, in steps.
        sums: Running sums of the training metrics since the last evaluation.
        state: The numbers that a checkpoint saves.
        threads: The number of CPU threads, and why.
        parents: The runs that it is made from.
        freezer: Holds the layers that are frozen.
        starts: How each layer started from the weights of another run, from the input to the output.
    """

    config: Config
    evaluation: Evaluation
    model: nn.Module
    average: Average
    augment: tuple[Augment | Mixer | Tracker, ...]
    regularizers: tuple[Regularizer, ...]
    teacher: Teacher
    taught: Tensor | None
    teacher_weight: Tensor
    constraints: tuple[Constraint, ...]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    schedule: Schedule
    early_stopping: Rule
    plan: Plan
    sums: Sums
    state: TrainState
    threads: ThreadChoice
    freezer: Freezer
    parents: tuple[Parent, ...] = ()
    starts: tuple[LayerStart, ...] = ()

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
        """The loss to minimize, without penalties."""
        return self.evaluation.loss

    @property
    def device(self) -> torch.device:
        """The device of model and rows."""
        return self.evaluation.device

    @property
    def world(self) -> World:
        """The processes that train together."""
        return self.evaluation.world

    @property
    def order(self) -> AnyOrder:
        """The training rows that each step visits."""
        rows, size, seed = self.data.splits["train"], self.plan.batch_size, self.config.seed
        free = self.data.without_label
        return order_of(rows, free, size, self.plan.unlabeled_size, seed, self.device, self.taught)

    @property
    def rows_per_step(self) -> float:
        """Rows in an optimizer step, on average over an epoch, those without a label included."""
        plan = self.plan
        if plan.unlabeled_size:
            return plan.batch_size + plan.unlabeled_size
        return len(self.data.splits["train"]) / plan.steps_per_epoch

    @property
    def epoch(self) -> float:
        """Epochs done, a fraction inside an epoch."""
        return self.state.step / self.plan.steps_per_epoch

    @property
    def changing_tensors(self) -> dict[str, Tensor]:
        """The tensors that steps and evaluations change, by name, except those in the optimizer's state."""
        named = {f"model.{key}": value for key, value in held(self.model).items()}
        if self.average.model is not self.model:
            named |= {f"average.{key}": value for key, value in held(self.average.model).items()}
        named |= {f"teacher.{key}": value for key, value in self.teacher.changing_tensors.items()}
        for index, constraint in enumerate(self.constraints):
            named |= {f"compress.{index}.{key}": value for key, value in constraint.state.items()}
        return named | {"sums": self.sums.sums}

    @property
    def moment(self) -> Moment:
        """The current step, for constraints."""
        return Moment(self.state.step, self.state.position)

    @property
    def compressed(self) -> bool:
        """Whether the weights are as small as compression is to make them; waits for the device."""
        return all(constraint.complete(self.state.position) for constraint in self.constraints)

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)
