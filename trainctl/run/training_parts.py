"""Build the parts that train the model; :mod:`trainctl.run.assemble` determines their order."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.components.augment.base import Augment, Mixer, Tracker
from trainctl.components.compress.base import Constraint, Training
from trainctl.components.loss.base import Task
from trainctl.components.optimizer.base import without_compiler
from trainctl.components.teacher.base import Teacher
from trainctl.data import statistics
from trainctl.data.rows import Data
from trainctl.machine import device as devices
from trainctl.run import checks, panel
from trainctl.run.factory import member, members
from trainctl.run.freezer import Freezer
from trainctl.run.layers import distance_to_output
from trainctl.run.parent import Parent, of_role
from trainctl.run.run import Plan
from trainctl.settings.config import Config

# Optimizers that update each weight by its own gradients only.
ELEMENTWISE = frozenset(
    {"adadelta", "adagrad", "adam", "adamax", "adamw", "asgd", "lion", "nadam", "radam", "rmsprop", "sgd"}
)
SIDES = 2  # so that the seed of the rows' random numbers differs from those of steps and epochs


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
