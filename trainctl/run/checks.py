"""Check that the parts of a run are compatible, and warn of settings that have no effect."""

import math
import re
import warnings
from collections.abc import Iterator, Sequence

from torch import nn

from trainctl.components.compress.base import Compress
from trainctl.components.loss.base import Loss, Task
from trainctl.components.metric.base import Metric
from trainctl.components.teacher.base import Teacher
from trainctl.data.rows import Data
from trainctl.errors import Advice, ConfigError
from trainctl.run import metric_names
from trainctl.run.model import batch_norms
from trainctl.run.run import Plan
from trainctl.settings import component, spelling
from trainctl.settings.config import Config
from trainctl.wording import agree, amount


def check_targets(config: Config, task: Task, data: Data) -> None:
    """Raise ConfigError if the model learns from targets, and the data has none."""
    if data.no_targets and task != "reconstruction":
        raise ConfigError(
            f"dataset.target=null: model={config.parts['model']['name']} learns to predict a column; set"
            " dataset.target=COLUMN, or use model=autoencoder, which needs none"
        )


def check_loss(config: Config, task: Task, loss: Loss, other_task: str = "") -> None:
    """Raise ConfigError if the loss does not support the task.

    Args:
        config: Of the run.
        task: Of the model and the data.
        loss: The loss.
        other_task: The setting that makes it the other task, if the user may well mean that: it is named first.
    """
    parts = config.parts
    if task not in loss.tasks:
        suitable = {"classification": "cross_entropy", "regression": "mse", "reconstruction": "mse"}[task]
        owner = f"model={parts['model']['name']}" if task == "reconstruction" else f"dataset={parts['dataset']['name']}"
        other = f"{other_task}, or " if other_task and task != "reconstruction" else ""
        raise ConfigError(
            f"loss={parts['loss']['name']} is for {' and '.join(loss.tasks)}, but {owner} is a {task} task: set"
            f" {other}loss={suitable}"
        )


def check_metrics(config: Config, task: Task, metrics: Sequence[Metric]) -> None:
    """Raise ConfigError if a metric is not defined for the task, or two have the same name."""
    reported = list(metric_names.NAMES[task])
    for member, metric in zip(config.members("metric"), metrics, strict=True):
        if task not in metric.tasks:
            raise ConfigError(
                f"metric={member['name']} is for {' and '.join(metric.tasks)}, but this is a {task}: leave it out"
            )
        if twice := [name for name in metric.names if name in reported]:
            raise ConfigError(f"metric={member['name']}: reports {twice[0]}, which is reported already: leave it out")
        reported += metric.names


def check_compress(config: Config, chosen: Sequence[Compress]) -> None:
    """Raise ConfigError if several members of the group decide which weights are 0."""
    names = [
        settings["name"] for settings, one in zip(config.members("compress"), chosen, strict=True) if one.exclusive
    ]
    if len(names) > 1:
        raise ConfigError(f"compress=[{','.join(names)}]: each of them decides which weights are 0; select one of them")


def _measuring(name: str, config: Config) -> str:
    """Return the words for the metrics that are chosen and one more; empty if there is no such metric."""
    setting = ""
    if match := re.fullmatch(r"top_(\d+)", name):
        name, setting = "top_k", f" metric.top_k.k={match[1]}"
    if not component.source("metric", name, config.components):
        return ""
    chosen = dict.fromkeys([*(str(member["name"]) for member in config.members("metric")), name])
    return f"metric=[{','.join(one for one in chosen if one != 'none')}]{setting}"


def check_monitors(config: Config, task: Task, rows: int, more: Sequence[Metric]) -> None:
    """Raise ConfigError if a monitored metric does not exist in a run, or there are too few validation rows for it.

    Args:
        config: Configuration of the run.
        task: The model's task.
        rows: Number of rows in the validation split.
        more: The metrics of the group ``metric``.
    """
    metrics = metric_names.available(task, (name for metric in more for name in metric.names))
    monitors = {f"{group}.monitor": config.monitored(group) for group in ("early_stopping", "schedule")}
    for key, name in ({"monitor": config.monitor} | monitors).items():
        if name not in metrics:
            if words := _measuring(name.removeprefix("val/"), config):
                raise ConfigError(f"{key}={name}: this run does not measure it; use {words}")
            raise ConfigError(f"{key}={name}: a {task} has no such metric{spelling.nearest(name, metrics)}")
        if name == "val/r2" and rows < 2 and task == "regression":
            raise ConfigError(
                f"{key}=val/r2: R2 is undefined for one row, and there is only one for validation: choose val/rmse"
            )


def check_batches(config: Config, model: nn.Module, plan: Plan, rows: int) -> None:
    """Check that every micro-batch has at least one row, and at least two if the model has batch norms.

    Args:
        config: The run's configuration.
        model: The model.
        plan: The run's plan.
        rows: Number of rows in the training split.

    Raises:
        ConfigError: If a micro-batch has too few rows.
    """
    parts = config.loop.micro_batches
    if batch_norms(model) and not plan.unlabeled_size and smallest_part(rows, plan.batch_size, parts) < 2:
        norm = "model.norm=batch" if "norm" in config.parts["model"] else "batch norm"
        raise ConfigError(
            f"loop.batch_size={plan.batch_size} leaves a batch of one row ({amount(rows, 'training row')}),"
            f" but {norm} needs two: change loop.batch_size"
        )
    if parts > plan.batch_size:
        raise ConfigError(
            f"loop.micro_batches={parts} exceeds the batch of {amount(plan.batch_size, 'row')} ({amount(rows, 'training row')}):"
            " each micro-batch needs at least one row"
        )


def smallest_part(rows: int, batch_size: int, micro_batches: int) -> int:
    """Return the number of rows in the smallest micro-batch of an epoch.

    >>> smallest_part(100, 32, 1), smallest_part(100, 33, 1), smallest_part(100, 32, 16)
    (4, 1, 1)
    """
    last = rows % batch_size or batch_size
    return min(batch // min(micro_batches, batch) for batch in (batch_size, last))


def advise(config: Config, plan: Plan, rows: int) -> None:
    """Warn of settings that have no effect in a run of this length, and of an average that may never start."""
    for line in _idle(config, plan, rows):
        warnings.warn(line, Advice, stacklevel=2)
    if config.loop.max_seconds is not None and (start := config.parts["average"].get("start_fraction")):
        warnings.warn(
            f"average.start_fraction={start} counts planned steps, and loop.max_time may end the run before the"
            " averaging starts: set average.start_fraction=0 to start it at once",
            Advice,
            stacklevel=2,
        )


def advise_teacher(config: Config, teacher: Teacher, data: Data) -> None:
    """Warn of a teacher that has nothing to say."""
    if teacher.only_unlabeled and data.without_label is None:
        warnings.warn(
            f"teacher={config.parts['teacher']['name']}: all training rows have labels, so it has no effect: set"
            " split.labels=100, for example, to keep only that many",
            Advice,
            stacklevel=2,
        )


def _idle(config: Config, plan: Plan, rows: int) -> Iterator[str]:
    """Yield a line for each setting that has no effect in a run of this length."""
    loop, stopping, schedule = config.loop, config.parts["early_stopping"], config.parts["schedule"]
    if loop.batch_size != "full" and loop.batch_size > rows:
        there = f"there {agree(rows, 'is', 'are')} only {amount(rows, 'training row')}"
        yield f"loop.batch_size={loop.batch_size}: {there}, so every step uses all of them"
    if plan.by_clock:
        return
    evaluations, epochs = math.ceil(plan.total_steps / plan.eval_every), plan.total_steps / plan.steps_per_epoch
    few = f"this run has only {amount(evaluations, 'evaluation')}"
    if stopping.get("patience", 0) >= evaluations:
        yield f"{few}, so early_stopping.patience={stopping['patience']} prevents early stopping"
    elif stopping.get("min_epochs", 0) >= epochs:
        yield (
            f"this run has only {amount(epochs, 'epoch')}, so early_stopping.min_epochs={stopping['min_epochs']} prevents"
            " early stopping"
        )
    if schedule["name"] == "plateau" and schedule["patience"] >= evaluations:
        yield f"{few}, so schedule.patience={schedule['patience']} never lowers the learning rate"
    if loop.stop_at_step is not None and loop.stop_at_step > plan.total_steps:
        yield f"loop.stop_at_step={loop.stop_at_step}: the run ends before that, after {amount(plan.total_steps, 'step')}"
    if loop.eval_every_steps is not None and plan.eval_every > plan.total_steps:
        yield (
            f"loop.eval_every_steps={plan.eval_every}: the run has only {amount(plan.total_steps, 'step')}, so it is evaluated"
            " once, at its end"
        )
