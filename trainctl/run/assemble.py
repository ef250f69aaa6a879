"""Assemble a Run or an Evaluation from a configuration; the only module that determines the order of construction."""

from collections.abc import Sequence

import torch
from torch import nn

from trainctl.components.loss.base import Loss, Task
from trainctl.components.metric.base import Metric
from trainctl.components.schedule.base import as_schedule
from trainctl.data import load, statistics
from trainctl.data.choose_order import check_batch
from trainctl.data.rows import Data, Fitted
from trainctl.data.schema import Schema
from trainctl.errors import CheckpointError
from trainctl.machine import cpu
from trainctl.machine import device as devices
from trainctl.machine.threads import ThreadChoice
from trainctl.machine.world import ALONE, World
from trainctl.run import checks, metric_names, pretrained, transfer
from trainctl.run.datasets import load_data, reader
from trainctl.run.factory import member, members
from trainctl.run.freezer import Freezer
from trainctl.run.layers import layers
from trainctl.run.model import build_model, decay_groups
from trainctl.run.parent import Parent, of_role
from trainctl.run.plan import make_plan
from trainctl.run.run import Evaluation, Plan, Run
from trainctl.run.state import TrainState
from trainctl.run.training_parts import build_augment, build_constraints, build_optimizer, build_teacher
from trainctl.run.transfer import LayerStart
from trainctl.settings.config import Config


def assemble(
    config: Config,
    trained: Schema | None = None,
    parents: tuple[Parent, ...] = (),
    fitted: Fitted | None = None,
    *,
    restored: bool = False,
    world: World = ALONE,
) -> Run:
    """Build all parts of a run, in the order of their dependencies.

    Args:
        config: Of the run.
        trained: The schema of the run that is to be continued or repeated, whose centres are used; None for a new run.
        parents: The runs that it is made from.
        fitted: Cleaning and scalings to use; None to fit them to the training rows.
        restored: Whether the caller loads all weights afterwards, so that pretrained ones are not needed.
        world: The processes that train it.

    Raises:
        TrainctlError: If a part cannot be built, or two parts are incompatible.
    """
    # 1. Device and random numbers, then data, then a model for the data's shape.
    device, threads = prepare(config, world)
    origin = next(iter(of_role(parents, "start")), None)
    data = load_data(config, device, trained, fitted, origin)
    divides = world.size > 1 and config.distributed.shard
    home = torch.device("cpu") if divides else device  # each process moves its share to its device later
    model, task, starts = _start_model(config, data, home, origin, restored=restored)
    data = data.for_task(reconstructs=task == "reconstruction", taught=config.learns_without_labels)
    loss, metrics = _loss_and_metrics(config, task, data)
    # 2. The parts that train the model.
    plan = _plan(config, data, model)
    decayed, spared = decay_groups(model, decay_norm_and_bias=config.decay_norm_and_bias)
    optimizer = build_optimizer(config, model, decayed, spared)
    freeze = member(config, "freeze", layers=len(layers(model)), steps_per_epoch=plan.steps_per_epoch)
    freezer = Freezer(model, freeze)
    # Some set weights to 0, so they come before the average, which starts from these weights.
    constraints = build_constraints(config, model, plan, parents, freezer)
    length = {"total_steps": plan.total_steps, "steps_per_epoch": plan.steps_per_epoch}
    average = member(config, "average", model=model, optimizer=optimizer, **length)
    teacher, taught = build_teacher(config, task, data, model, plan, of_role(parents, "teacher"), device)
    # 3. The parts that measure it.
    evaluation = make_evaluation(config, data, average.model, task, loss, device, metrics, world)
    return Run(
        config=config,
        evaluation=evaluation,
        model=model,
        average=average,
        augment=build_augment(config, task, data, device),
        regularizers=tuple(members(config, "regularizer", params=decayed)),
        teacher=teacher,
        taught=taught,
        teacher_weight=torch.tensor(teacher.weight(0), device=device),
        constraints=constraints,
        optimizer=optimizer,
        scaler=torch.amp.GradScaler(device.type, enabled=config.precision == "fp16"),
        schedule=as_schedule(member(config, "schedule", maximize=_rises(config, "schedule"), **length)),
        early_stopping=member(config, "early_stopping", maximize=_rises(config, "early_stopping")),
        plan=plan,
        sums=evaluation.new_sums(),
        state=TrainState(),
        threads=threads,
        freezer=freezer,
        parents=parents,
        starts=starts,
    )


def _start_model(
    config: Config, data: Data, device: torch.device, origin: Parent | None, *, restored: bool
) -> tuple[nn.Module, Task, tuple[LayerStart, ...]]:
    """Build the model with the weights that training starts from; return it, its task, and where each layer's come from.

    Raises:
        TrainctlError: If it cannot be built for the data, or weights to start from are missing.
    """
    starts: list[LayerStart] = []

    def start(model: nn.Module, *, body_only: bool) -> None:
        """Load the weights of the run that this one starts from."""
        if origin is None:
            raise CheckpointError("init=run: the run that this one starts from is missing from its directory")
        starts.extend(transfer.start(model, config, data.schema, origin, data.examples, body_only=body_only))
        if not restored:
            transfer.advise(config, origin)

    def others(model: nn.Module) -> None:
        """Load weights that others have trained."""
        starts.extend(pretrained.start(model, config, data.schema))

    loaded = None if restored else others
    model, task = build_model(config, data.schema, device, data.examples, start, loaded)
    return model, task, tuple(starts)


def _loss_and_metrics(config: Config, task: Task, data: Data) -> tuple[Loss, list[Metric]]:
    """Build what judges the model; raise ConfigError if one of them, or what monitors them, does not suit the data."""
    checks.check_targets(config, task, data)
    loss = build_loss(config, task, data)
    metrics = build_metrics(config, task, data)
    checks.check_monitors(config, task, len(data.splits["val"]), metrics)
    return loss, metrics


def _plan(config: Config, data: Data, model: nn.Module) -> Plan:
    """Return the plan of a run; raise ConfigError if a batch of it suits neither the model nor the rows."""
    train = data.splits["train"]
    plan = make_plan(config, len(train), 0 if data.without_label is None else len(data.without_label))
    checks.check_batches(config, model, plan, len(train))
    check_batch(train, plan.batch_size, config.loop.batch_size)
    checks.advise(config, plan, len(train))
    return plan


def assemble_evaluation(config: Config, schema: Schema, fitted: Fitted, *, whole: bool = False) -> Evaluation:
    """Build the parts that measure a finished run; the caller has to load the weights.

    Args:
        config: The run's configuration, perhaps with another data set.
        schema: The schema of the training data.
        fitted: Cleaning and scalings that were fitted to the training data.
        whole: Whether to measure all rows as one split, ``all``.

    Raises:
        TrainctlError: If a part cannot be built, or the data do not match the training data's schema.
    """
    device, _ = prepare(config)
    name = config.parts["dataset"]["name"]
    dataset = load.read(reader(config, schema, device=device), f"dataset={name}", schema)
    data = load.load_to_measure(
        dataset,
        member(config, "clean"),
        fitted,
        config.split,
        device,
        whole=whole,
        trained=schema.fingerprint,
        unlabeled=config.learns_without_labels,
    )
    data.schema.require(schema, name)
    model, task = build_model(config, data.schema, device)
    data = data.for_task(reconstructs=task == "reconstruction", taught=config.learns_without_labels)
    loss, metrics = build_loss(config, task, data), build_metrics(config, task, data)
    return make_evaluation(config, data, model, task, loss, device, metrics)


def prepare(config: Config, world: World = ALONE) -> tuple[torch.device, ThreadChoice]:
    """Set up the process: choose the device and the number of threads, and seed the random generators."""
    device = devices.find(config.device, world.local_rank if world.size > 1 else None)
    devices.autocast(device, config.precision)
    threads = cpu.use_threads(config.threads)
    cpu.keep_memory()
    devices.seed_everything(config.seed)
    return device, threads


def build_loss(config: Config, task: Task, data: Data) -> Loss:
    """Build the loss; raise ConfigError if it does not support the task."""
    outputs = data.schema.outputs
    counts = statistics.class_counts(data.splits["train"], outputs if task == "classification" else 0)
    loss: Loss = member(config, "loss", outputs=outputs, class_counts=counts)
    checks.check_loss(config, task, loss, data.other_task)
    return loss


def make_evaluation(
    config: Config,
    data: Data,
    model: nn.Module,
    task: Task,
    loss: Loss,
    device: torch.device,
    metrics: Sequence[Metric],
    world: World = ALONE,
) -> Evaluation:
    """Return the parts that measure a model."""
    return Evaluation(
        task, data, model, loss, device, config.precision, config.loop.eval_batch_size, tuple(metrics), world,
        metric_names.own_maximized(config.parts["metric"]), world.size > 1 and config.distributed.shard,
    )  # fmt: skip


@devices.kept_generators()  # scikit-learn is imported here
def build_metrics(config: Config, task: Task, data: Data) -> list[Metric]:
    """Build the metrics of the group ``metric``; raise ConfigError if one does not suit the task."""
    metrics: list[Metric] = members(config, "metric", class_names=data.schema.class_names)
    checks.check_metrics(config, task, metrics)
    return metrics


def _rises(config: Config, group: str) -> bool:
    return metric_names.maximize(config.monitored(group), metric_names.own_maximized(config.parts["metric"]))
