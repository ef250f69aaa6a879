"""Composed configuration -> Run; the only place that knows the order of construction."""

import hashlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.components.augment.base import Augment, Mixer, Tracker
from trainctl.components.clean.base import Clean, Cleaner
from trainctl.components.dataset.base import Dataset
from trainctl.components.loss.base import Loss, Task
from trainctl.components.model.base import Reconstruction, try_row
from trainctl.components.optimizer.base import without_compiler
from trainctl.components.scale.base import Affine, moments
from trainctl.components.schedule.base import as_schedule
from trainctl.data import deal as splits
from trainctl.data.rows import SPLITS, Data, Fitted, Rows
from trainctl.errors import Advice, ConfigError, DataError
from trainctl.machine import cpu, device
from trainctl.run import factory, metric_names
from trainctl.run.run import Plan, Run
from trainctl.run.state import TrainState
from trainctl.run.sums import Sums
from trainctl.settings import spelling
from trainctl.settings.config import Config

# A run that only the clock ends goes through its schedule as if it had this many epochs.
EPOCHS_BY_CLOCK = 100
MOST_EXAMPLES = 5000  # training rows that an initialisation may look at
SIDES = 2  # keeps the seed of the rows' draws apart from those of steps and epochs
# The length of a run that is not trained; no warmup or milestone lies beyond it.
MEASURED_STEPS = 10**9


def assemble(
    config: Config, fitted: Fitted | None = None, known: Mapping[str, Any] | None = None, *, whole: bool = False
) -> Run:
    """Build all parts of a run, in the order in which they need each other.

    Args:
        config: The run's.
        fitted: Cleaning and scalings, from a checkpoint; fitted on the training split if None.
        known: What a finished run's data looked like, see :meth:`trainctl.run.run.Data.about`; None for a new run.
        whole: Whether all rows are one split, ``all``, to be measured.

    Raises:
        TrainctlError: If a part cannot be built, or two do not fit together.
    """
    # 1. Device and random numbers.
    place = device.find(config.device)
    device.autocast(place, config.precision)
    threads = cpu.use_threads(config.threads)
    cpu.keep_memory()
    device.seed_everything(config.seed)
    # 2. Data, then the model that its shape asks for.
    data = load_data(config, place, fitted, known, whole=whole)
    if known:
        check_schema(data, known, config.parts["dataset"]["name"])
    model, task = build_model(
        config, data.input_shape, data.outputs, data.task, place, len(data.vocabulary), lambda: examples(data)
    )
    loss = build(config, "loss", outputs=data.outputs, class_counts=class_counts(task, data))
    _check_fit(config, task, loss)
    # 3. What trains the model.
    plan = make_plan(config, len(data.splits["train"]))
    if known:  # it is measured, not trained: its data may be too few for its batches and its schedule
        plan = replace(plan, total_steps=max(plan.total_steps, MEASURED_STEPS))
    else:
        _check_batch_norm(model, plan, len(data.splits["train"]), config.loop.micro_batches)
    _advise(config, plan, len(data.splits["train"]))
    decayed, spared = decay_groups(model, decay_norm_and_bias=config.decay_norm_and_bias)
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
    optimizer = build_optimizer(config, [group for group in groups if group["params"]])
    length = {"total_steps": plan.total_steps, "steps_per_epoch": plan.steps_per_epoch}
    return Run(
        config=config,
        task=task,
        data=data,
        model=model,
        average=build(config, "average", model=model, optimizer=optimizer, **length),
        augment=build_augment(config, task, data),
        loss=loss,
        regularizers=tuple(build_all(config, "regularizer", params=decayed)),
        optimizer=optimizer,
        scaler=torch.amp.GradScaler(place.type, enabled=config.precision == "fp16"),
        schedule=as_schedule(build(config, "schedule", maximize=_rises(config, "schedule"), **length)),
        early_stopping=build(config, "early_stopping", maximize=_rises(config, "early_stopping")),
        device=place,
        plan=plan,
        sums=new_sums(task, data),
        state=TrainState(),
        threads=threads,
    )


def build(config: Config, group: str, **supplied: Any) -> Any:
    """Build the chosen member of a group."""
    return factory.build(group, config.parts[group], config.components, **supplied)


def build_all(config: Config, group: str, **supplied: Any) -> list[Any]:
    """Build all chosen members of a group that adds up."""
    return [factory.build(group, member, config.components, **supplied) for member in config.members(group)]


def build_optimizer(config: Config, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Build the optimizer, and note the base rate of each of its groups, which the schedule multiplies."""
    without_compiler()
    optimizer: torch.optim.Optimizer = build(config, "optimizer", params=groups)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def load_data(
    config: Config,
    place: torch.device,
    fitted: Fitted | None = None,
    known: Mapping[str, Any] | None = None,
    *,
    whole: bool = False,
) -> Data:
    """Load, clean, split and scale a data set, and put it on the device.

    Rows are dropped before the split; fill values, limits, vocabulary and scalings come from the training rows.

    Args:
        config: Of the run.
        place: The device.
        fitted: Cleaning and scalings of a finished run; fitted on the training split if None.
        known: What a finished run's data looked like: columns, categories, classes, vocabulary.
        whole: Whether all rows are one split, ``all``; the others hold the same rows.
    """
    try:
        source: Dataset = build(config, "dataset", known=known)
    except OSError as error:  # a name too long, a directory that may not be searched: anything no reader foresaw
        place_of = error.filename or f"dataset={config.parts['dataset']['name']}"
        raise DataError(f"{place_of}: cannot be read: {error.strerror or error}") from error
    clean: Clean = build(config, "clean")
    # 1. Which rows there are, and where each goes.
    source, changes = clean.select(source)
    dealt = splits.all_rows(source) if whole else splits.deal(source, config.split)
    if source.learn:
        source = source.learn(source, dealt["train"])
    # 2. What the training rows say.
    if fitted is None:
        cleaner, train = clean.fit(source, dealt["train"])
    else:
        cleaner, train = fitted.cleaner, dealt["train"] if whole else clean.spare(source, dealt["train"])
    changes += clean.changes(source, cleaner, len(dealt["train"]) - len(train))
    dealt["train"] = train
    if fitted is None:
        fitted = fit_scales(config, source, cleaner(source.inputs), train, cleaner)
    inputs = fitted.cleaner(source.inputs)
    if not bool(inputs.isfinite().all() if inputs.is_floating_point() else True):
        raise DataError("values are missing, and the run's cleaning has nothing to fill in")
    targets = source.targets if fitted.target_scale is None else fitted.target_scale(source.targets)
    if whole:
        rows = dict.fromkeys(dealt, Rows(inputs.to(place), targets.to(place)))
    else:
        rows = {name: Rows(inputs[dealt[name]].to(place), targets[dealt[name]].to(place)) for name in SPLITS}
    notes = () if known else (*source.notes, *splits.odd_rows(source, dealt, own="path" in config.parts["dataset"]))
    return Data(
        splits=rows,
        input_scale=fitted.input_scale.to(place),
        target_scale=None if fitted.target_scale is None else fitted.target_scale.to(place),
        task=source.task,
        outputs=source.outputs,
        input_shape=tuple(source.inputs.shape[1:]),
        class_names=source.class_names,
        input_names=source.input_names,
        target_names=source.target_names,
        fingerprint=fingerprint(source),
        cleaner=fitted.cleaner,
        changes=tuple(changes),
        notes=notes,
        columns=source.columns,
        vocabulary=source.vocabulary,
        encoding=source.encoding,
    )


def check_schema(data: Data, known: Mapping[str, Any], name: str) -> None:
    """Raise DataError where data differ from what a finished run was trained with, in shape, task, classes or order."""
    now = data.about()
    for key in ("input_shape", "outputs", "task"):
        if now[key] != known[key]:
            raise DataError(f"dataset={name}: its {key} is {now[key]}, the run was trained with {known[key]}")
    for key in ("class_names", "input_names"):
        if now[key] != known[key] and sorted(now[key]) == sorted(known[key]):
            raise DataError(f"dataset={name}: its {key} stand in another order than in training")


def fit_scales(config: Config, source: Dataset, inputs: Tensor, train: Tensor, cleaner: Cleaner) -> Fitted:
    """Fit the scalings of cleaned inputs and of a regression's targets; token ids have none."""
    none = Affine(torch.ones(1, 1), torch.zeros(1, 1))
    return Fitted(
        cleaner,
        none if source.vocabulary else build(config, "scale", values=inputs[train]),
        build(config, "scale", values=source.targets[train]) if source.task == "regression" else None,
    )


def fingerprint(source: Dataset) -> str:
    """Return the SHA-256 of a data set's inputs, targets and names [hex]."""
    digest = hashlib.sha256()
    for tensor in (source.inputs, source.targets):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    digest.update(repr((source.class_names, source.input_names, source.target_names)).encode())
    if source.vocabulary:
        digest.update(repr(source.vocabulary).encode())
    return digest.hexdigest()


def build_model(
    config: Config,
    input_shape: tuple[int, ...],
    outputs: int,
    task: Task,
    place: torch.device,
    vocabulary_size: int = 0,
    seen: Callable[[], Tensor] | None = None,
) -> tuple[nn.Module, Task]:
    """Build and initialise the model, and try it on one row.

    Args:
        config: Of the run.
        input_shape: Shape of a row.
        outputs: Numbers that the data needs for a row.
        task: The data's.
        place: The device.
        vocabulary_size: How many token ids there are, 0 for data without tokens.
        seen: Returns training rows as the model sees them, see :func:`examples`; None for a model that is not to be
            initialised, as its weights are loaded.

    Raises:
        ConfigError: If it cannot take such rows, or returns something of another shape than the task needs.
    """
    name = config.parts["model"]["name"]
    if vocabulary_size and not factory.takes("model", config.parts["model"], config.components, "vocabulary_size"):
        raise ConfigError(
            f"model={name} takes no vocabulary_size, so it cannot read rows of token ids, as dataset=text has them:"
            f" give model=rnn"
        )
    try:
        model: nn.Module = build(
            config, "model", input_shape=input_shape, outputs=outputs, vocabulary_size=vocabulary_size
        )
    except (RuntimeError, TypeError, OverflowError) as error:
        if "overflow" not in str(error).lower() and "too large" not in str(error).lower():
            raise
        raise ConfigError(
            f"model={name}: a layer is larger than any memory: {str(error).partition(chr(10))[0][:100]}"
        ) from error
    if seen is not None:
        build(config, "init", model=model, examples=seen)
    reconstructs = isinstance(model, Reconstruction)
    wanted = input_shape if reconstructs else (outputs,)
    model.to(place).to(memory_format=layout(model)).eval()
    kind = torch.long if vocabulary_size else torch.float32
    returned = try_row(name, model, torch.zeros(1, *input_shape, dtype=kind, device=place))
    if returned.shape[1:] != wanted:
        raise ConfigError(f"model={name} returns {tuple(returned.shape[1:])} for a row, the data needs {wanted}")
    return model.train(), "reconstruction" if reconstructs else task


def examples(data: Data) -> Tensor:
    """Return at most 5,000 training rows, evenly spaced, as the model sees them: scaled, not augmented."""
    inputs = data.splits["train"].inputs
    return data.input_scale(inputs[:: math.ceil(len(inputs) / MOST_EXAMPLES)])


def layout(model: nn.Module) -> torch.memory_format:
    """Return how a model's weights lie in memory: channels last where it convolves images, as kernels like them best."""
    images = any(isinstance(module, nn.Conv2d) for module in model.modules())
    return torch.channels_last if images else torch.preserve_format


def build_augment(config: Config, task: Task, data: Data) -> tuple[Augment | Mixer | Tracker, ...]:
    """Build the augmentations, in their order."""
    inputs = data.splits["train"].inputs

    def deviation() -> Tensor:
        """Return the training split's standard deviation per channel or column; computed where it is asked for."""
        return moments(inputs.cpu())[1].float().to(inputs.device)

    def draws() -> Tensor:
        """Return a number in [0, 1) for each training row, a function of (seed, row); drawn where it is asked for."""
        generator = torch.Generator().manual_seed(device.derive(SIDES, config.seed))
        return torch.rand(len(inputs), generator=generator).to(inputs.device)

    told = {"input_shape": data.input_shape, "dtype": inputs.dtype, "task": task}
    return tuple(build_all(config, "augment", deviation=deviation, draws=draws, **told))


def class_counts(task: Task, data: Data) -> Tensor:
    """Return how many training rows each class has, on the device; empty if there is nothing to classify."""
    targets = data.splits["train"].targets
    if task != "classification":
        return targets.new_zeros(0, dtype=torch.long)
    return torch.bincount(targets, minlength=data.outputs)


def decay_groups(model: nn.Module, *, decay_norm_and_bias: bool) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Deal parameters into those that weight decay and penalties reach, and those they spare.

    Biases and the parameters of norm layers have one dimension, all weights have more.
    """
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in learned if parameter.ndim > 1 or decay_norm_and_bias]
    spared = [parameter for parameter in learned if parameter.ndim <= 1 and not decay_norm_and_bias]
    return decayed, spared


def make_plan(config: Config, rows: int) -> Plan:
    """Turn the budget into steps."""
    loop = config.loop
    batch_size = rows if loop.batch_size == "full" else min(loop.batch_size, rows)
    steps_per_epoch = math.ceil(rows / batch_size)
    budgets = [loop.max_steps, None if loop.epochs is None else loop.epochs * steps_per_epoch]
    known = [budget for budget in budgets if budget is not None]
    total = min(known, default=EPOCHS_BY_CLOCK * steps_per_epoch)
    return Plan(batch_size, steps_per_epoch, total, loop.eval_every_steps or steps_per_epoch, by_clock=not known)


def new_sums(task: Task, data: Data) -> Sums:
    """Return fresh running sums for the task's metrics."""
    train = data.splits["train"]
    columns = (
        math.prod(data.input_shape)
        if task == "reconstruction"
        else (1 if train.targets.ndim == 1 else train.targets.shape[1])
    )
    units = data.target_scale if task == "regression" else None
    return Sums(task, columns, units, train.inputs.device)


def _rises(config: Config, group: str) -> bool:
    return metric_names.maximize(config.monitored(group))


def _check_fit(config: Config, task: Task, loss: Loss) -> None:
    """Raise ConfigError where loss, metric and task do not belong together."""
    parts = config.parts
    if task not in loss.tasks:
        fitting = {"classification": "cross_entropy", "regression": "mse", "reconstruction": "mse"}[task]
        owner = f"model={parts['model']['name']}" if task == "reconstruction" else f"dataset={parts['dataset']['name']}"
        raise ConfigError(
            f"loss={parts['loss']['name']} is for {' and '.join(loss.tasks)}, {owner} is a {task}: give loss={fitting}"
        )
    known = [f"val/{name}" for name in metric_names.NAMES[task]]
    watching = {f"{group}.monitor": config.monitored(group) for group in ("early_stopping", "schedule")}
    for key, name in ({"monitor": config.monitor} | watching).items():
        if name not in known:
            raise ConfigError(f"{key}={name}: a {task} has no such metric{spelling.nearest(name, known)}")


def _advise(config: Config, plan: Plan, rows: int) -> None:
    """Say what was asked for and cannot happen: rules that never act, and an average that may never begin.

    Raises:
        ConfigError: If a batch is to be computed in more parts than it has rows.
    """
    if config.loop.micro_batches > plan.batch_size:
        raise ConfigError(
            f"loop.micro_batches={config.loop.micro_batches} exceeds the batch of {plan.batch_size} rows"
            f" ({rows} rows for training): a part needs at least one"
        )
    for line in _idle(config, plan, rows):
        warnings.warn(line, Advice, stacklevel=2)
    if config.loop.max_seconds is not None and (start := config.parts["average"].get("start_fraction")):
        warnings.warn(
            f"average.start_fraction={start} counts planned steps, and loop.max_time may end the run before the first"
            " average: give average.start_fraction=0 to be sure of one",
            Advice,
            stacklevel=2,
        )


def _idle(config: Config, plan: Plan, rows: int) -> Iterator[str]:
    """Yield a line for each setting that cannot act in a run of this length."""
    loop, stopping, schedule = config.loop, config.parts["early_stopping"], config.parts["schedule"]
    if loop.batch_size != "full" and loop.batch_size > rows:
        yield f"loop.batch_size={loop.batch_size}: there are {rows} rows for training, and a step takes them all"
    if plan.by_clock:
        return
    looks, epochs = math.ceil(plan.total_steps / plan.eval_every), plan.total_steps / plan.steps_per_epoch
    if stopping.get("patience", 0) >= looks:
        yield f"early_stopping.patience={stopping['patience']} never stops this run, which has {looks} evaluations"
    elif stopping.get("min_epochs", 0) >= epochs:
        yield f"early_stopping.min_epochs={stopping['min_epochs']} never lets this run stop early, which has {epochs:g} epochs"
    if schedule["name"] == "plateau" and schedule["patience"] >= looks:
        yield f"schedule.patience={schedule['patience']} never lowers the learning rate of this run, which has {looks} evaluations"
    if loop.stop_at_step is not None and loop.stop_at_step > plan.total_steps:
        yield f"loop.stop_at_step={loop.stop_at_step}: the run ends before, after {plan.total_steps} steps"
    if loop.eval_every_steps is not None and plan.eval_every > plan.total_steps:
        yield f"loop.eval_every_steps={plan.eval_every}: the run has {plan.total_steps} steps, and is evaluated once, at its end"


def _check_batch_norm(model: nn.Module, plan: Plan, rows: int, micro_batches: int) -> None:
    """Raise ConfigError where batch norm would see a single row."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        return
    if smallest_part(rows, plan.batch_size, micro_batches) < 2:
        raise ConfigError(
            f"loop.batch_size={plan.batch_size} leaves a batch of one row ({rows} rows for training),"
            " and model.norm=batch needs two: change loop.batch_size"
        )


def smallest_part(rows: int, batch_size: int, micro_batches: int) -> int:
    """Return the rows in the smallest part that a step computes at once in an epoch.

    >>> smallest_part(100, 32, 1), smallest_part(100, 33, 1), smallest_part(100, 32, 16)
    (4, 1, 1)
    """
    last = rows % batch_size or batch_size
    return min(batch // min(micro_batches, batch) for batch in (batch_size, last))
