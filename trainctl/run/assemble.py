"""Assemble a Run or an Evaluation from a configuration; the only module that determines the order of construction."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.components.augment.base import Augment, Mixer, Tracker
from trainctl.components.compress.base import Constraint, Training
from trainctl.components.loss.base import Loss, Task
from trainctl.components.metric.base import Metric
from trainctl.components.optimizer.base import without_compiler
from trainctl.components.scale.base import Summary
from trainctl.components.schedule.base import as_schedule
from trainctl.components.teacher.base import Teacher
from trainctl.data import load, statistics
from trainctl.data.choose_order import check_batch
from trainctl.data.inherit import Start
from trainctl.data.rows import Data, Fitted
from trainctl.data.schema import Schema
from trainctl.errors import CheckpointError
from trainctl.fileformat.room import Room
from trainctl.machine import cpu, memory
from trainctl.machine import device as devices
from trainctl.machine.threads import ThreadChoice
from trainctl.machine.world import ALONE, World
from trainctl.run import checks, metric_names, panel, pretrained, transfer
from trainctl.run.factory import member, members, takes
from trainctl.run.freezer import Freezer
from trainctl.run.layers import distance_to_output, layers
from trainctl.run.model import build_model, decay_groups
from trainctl.run.parent import Parent, of_role
from trainctl.run.run import Evaluation, Plan, Run
from trainctl.run.state import TrainState
from trainctl.run.transfer import LayerStart
from trainctl.settings.config import Config

# If only loop.max_time ends a run, its schedule is planned for this many epochs.
EPOCHS_BY_CLOCK = 100
# Optimizers that update each weight by its own gradients only.
ELEMENTWISE = frozenset(
    {"adadelta", "adagrad", "adam", "adamax", "adamw", "asgd", "lion", "nadam", "radam", "rmsprop", "sgd"}
)
SIDES = 2  # so that the seed of the rows' random numbers differs from those of steps and epochs


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
    starts: list[LayerStart] = []

    def start(model: nn.Module, *, body_only: bool) -> None:
        """Load the weights of the run that this one starts from."""
        if origin is None:
            raise CheckpointError("init=run: the run that this one starts from is missing from its directory")
        starts.extend(transfer.start(model, config, data.schema, origin, data.examples, body_only=body_only))

    def others(model: nn.Module) -> None:
        """Load weights that others have trained."""
        starts.extend(pretrained.start(model, config, data.schema))

    loaded = None if restored else others
    model, task = build_model(config, data.schema, device, data.examples, start, loaded)
    data = data.for_task(reconstructs=task == "reconstruction", taught=config.learns_without_labels)
    checks.check_targets(config, task, data)
    loss = build_loss(config, task, data)
    metrics = build_metrics(config, task, data)
    checks.check_monitors(config, task, len(data.splits["val"]), metrics)
    # 2. The parts that train the model.
    rows = len(data.splits["train"])
    plan = make_plan(config, rows, 0 if data.without_label is None else len(data.without_label))
    checks.check_batches(config, model, plan, rows)
    check_batch(data.splits["train"], plan.batch_size, config.loop.batch_size)
    checks.advise(config, plan, rows)
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
        starts=tuple(starts),
    )


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


def dataset_key(config: Config) -> str:
    """Return what two configurations have in common if they read the same data set."""
    return json.dumps([config.parts["dataset"], list(config.components), config.learns_without_labels], sort_keys=True)


def reader(
    config: Config, schema: Schema | None = None, trained: Schema | None = None, device: torch.device | None = None
) -> Callable[[], Any]:
    """Return the function that reads the data set.

    Args:
        config: Of the run.
        schema: The schema of a finished run, which its data must match; None for a run that is trained.
        trained: The schema of the run that is continued or repeated; None for a new run.
        device: Where rows in memory are to be; None: in this machine's memory, whatever the device of the run.
    """
    room = Room(
        min(memory.available(), devices.free_memory(device)),
        None if trained is None else trained.encoding.keep or "memory",
    )
    return partial(member, config, "dataset", schema=schema, unlabeled=config.learns_without_labels, room=room)


def share_dataset(config: Config) -> None:
    """Read the data set of a configuration for all trials of a sweep."""
    load.share(reader(config), dataset_key(config))


def load_data(
    config: Config,
    device: torch.device,
    trained: Schema | None = None,
    fitted: Fitted | None = None,
    origin: Parent | None = None,
) -> Data:
    """Load the data set of a run to be trained, see :func:`assemble`; ``origin`` is the run that it starts from."""
    name = f"dataset={config.parts['dataset']['name']}"
    start = Start(origin.name, origin.schema, origin.fitted) if origin else None
    dataset = load.read(reader(config, trained=trained, device=device), name, trained, dataset_key(config), start)

    def scale(values: Tensor, summary: Callable[[], Summary] | None = None) -> Any:
        return member(config, "scale", values=values, summary=summary)

    settings = config.parts["scale"]
    by_sample = "" if takes("scale", settings, config.components, "summary") else str(settings["name"])

    return load.load(
        dataset,
        member(config, "clean"),
        scale,
        config.split,
        device,
        own="path" in config.parts["dataset"],
        fitted=fitted,
        unlabeled=config.learns_without_labels,
        start=start,
        by_sample=by_sample,
    )


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
        metric_names.own_maximized(config.parts["metric"]),
    )  # fmt: skip


def build_metrics(config: Config, task: Task, data: Data) -> list[Metric]:
    """Build the metrics of the group ``metric``; raise ConfigError if one does not suit the task."""
    metrics: list[Metric] = members(config, "metric", class_names=data.schema.class_names)
    checks.check_metrics(config, task, metrics)
    return metrics


def build_optimizer(
    config: Config, model: nn.Module, decayed: list[nn.Parameter], spared: list[nn.Parameter]
) -> torch.optim.Optimizer:
    """Build the optimizer, and store each parameter group's base learning rate, which the schedule multiplies.

    Args:
        config: The run's configuration.
        model: The model to train.
        decayed: Parameters with weight decay.
        spared: Parameters without weight decay.
    """
    without_compiler()
    distances = distance_to_output(model) if (config.layer_decay, config.head_lr_factor) != (1, 1) else {}
    groups: list[Mapping[str, Any]] = [
        group
        for distance in _in_order(distances, config.head_lr_factor)
        for group in (
            {"params": [each for each in decayed if distances.get(each, 0) == distance]},
            {"params": [each for each in spared if distances.get(each, 0) == distance], "weight_decay": 0.0},
        )
        if group["params"]
    ]
    optimizer: torch.optim.Optimizer = member(config, "optimizer", params=groups)
    for group in optimizer.param_groups:
        distance = distances.get(group["params"][0], 0)
        group["lr"] *= config.layer_decay**distance * (1 if distance else config.head_lr_factor)
        group["initial_lr"] = group["lr"]
    return optimizer


def _in_order(distances: Mapping[nn.Parameter, int], head_lr_factor: float) -> list[int]:
    """Return the distances of layers to the output, first that of the layer whose rate is reported: `optimizer.lr`.

    That is the output layer, or, if that has a rate of its own, the layer before it.
    """
    found = sorted(set(distances.values())) or [0]
    return found if head_lr_factor == 1 else [*found[1:], found[0]]


def build_constraints(
    config: Config, model: nn.Module, plan: Plan, parents: tuple[Parent, ...], freezer: Freezer
) -> tuple[Constraint, ...]:
    """Build the constraints that compression puts on the weights, in their order.

    Raises:
        ConfigError: If several members decide which weights are 0.
    """
    chosen = members(config, "compress")
    checks.check_compress(config, chosen)
    ranking = of_role(parents, "ranking")
    held = {id(parameter) for layer in freezer.layers[: freezer.freeze.held(0)] for parameter in layer}
    frozen = frozenset(name for name, parameter in model.named_parameters() if id(parameter) in held)
    joint = config.loop.clip_norm is not None or config.parts["optimizer"]["name"] not in ELEMENTWISE
    training = Training(plan.total_steps, config.seed, frozen, joint, ranking[0].model if ranking else {})
    return tuple(compress.constrain(model, training) for compress in chosen)


def build_augment(
    config: Config, task: Task, data: Data, device: torch.device
) -> tuple[Augment | Mixer | Tracker, ...]:
    """Build the augmentations, in their order."""
    rows = data.splits["train"]
    count = len(rows) + (0 if data.without_label is None else len(data.without_label))

    def draws() -> Tensor:
        """Draw a random number in [0, 1) for each training row; a function of (seed, row)."""
        generator = torch.Generator().manual_seed(devices.derive(SIDES, config.seed))
        return torch.rand(count, generator=generator).to(device)

    supplied: dict[str, Any] = {
        "input_shape": data.schema.input_shape,
        "dtype": statistics.stored_type(rows),
        "task": task,
        "deviation": lambda: statistics.deviation(rows),
        "draws": draws,
        "pixel_limits": cache(lambda: statistics.pixel_limits(rows)),
    }
    return tuple(members(config, "augment", **supplied))


def build_teacher(
    config: Config,
    task: Task,
    data: Data,
    model: nn.Module,
    plan: Plan,
    parents: tuple[Parent, ...],
    device: torch.device,
) -> tuple[Teacher, Tensor | None]:
    """Build the teacher; return it, and what it says about each training row, if that is always the same.

    It is always the same if the teacher never changes, and sees rows without augmentation. It is not stored for rows on
    disk, where it might take more memory than they would.
    """
    teachers = panel.panel(parents, data, task, device)
    teacher: Teacher = member(config, "teacher", model=model, panel=teachers, task=task, total_steps=plan.total_steps)
    checks.advise_teacher(config, teacher, data)
    plain = teacher.view == "plain" or all(each["name"] == "none" for each in config.members("augment"))
    stays = all(rows.resident for rows in [data.splits["train"], data.without_label] if rows is not None)
    if not (teacher.fixed and plain and stays and teacher.model is not None):
        return teacher, None
    rows = [data.splits["train"], *([] if data.without_label is None else [data.without_label])]
    return teacher, teacher.says(panel.answers(teacher.model, rows))


def make_plan(config: Config, rows: int, without_label: int = 0) -> Plan:
    """Convert the run's budget into optimizer steps.

    Args:
        config: The run's configuration.
        rows: Number of training rows with a label.
        without_label: Number of training rows without one.
    """
    loop = config.loop
    batch_size = rows if loop.batch_size == "full" else min(loop.batch_size, rows)
    steps_per_epoch, unlabeled_size = math.ceil(rows / batch_size), 0
    if without_label:  # a user's own teacher may have no such key
        factor = int(config.parts["teacher"].get("unlabeled_factor", 1))
        unlabeled_size = without_label if loop.batch_size == "full" else min(factor * batch_size, without_label)
        steps_per_epoch = max(steps_per_epoch, math.ceil(without_label / unlabeled_size))
    budgets = [loop.max_steps, None if loop.epochs is None else loop.epochs * steps_per_epoch]
    limits = [budget for budget in budgets if budget is not None]
    total = min(limits, default=EPOCHS_BY_CLOCK * steps_per_epoch)
    every = loop.eval_every_steps or steps_per_epoch
    return Plan(batch_size, steps_per_epoch, total, every, by_clock=not limits, unlabeled_size=unlabeled_size)


def _rises(config: Config, group: str) -> bool:
    return metric_names.maximize(config.monitored(group), metric_names.own_maximized(config.parts["metric"]))
