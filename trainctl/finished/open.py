"""A run's directory -> its configuration, its best weights, and its model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.errors import CheckpointError, ConfigError
from trainctl.machine import device
from trainctl.run import assemble
from trainctl.settings import config, existing
from trainctl.settings.config import Config, Tree
from trainctl.store import checkpoint, rundir


@dataclass(frozen=True)
class Weights:
    """A run's weights, with all that is needed to use them.

    Args:
        tensors: ``model.*``, ``scale.*`` and ``clean.*``.
        about: What the run's data looked like, see :meth:`trainctl.run.run.Data.about`.
        step: Optimizer steps behind them.
        notes: What is to be told to the user.
    """

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    step: int
    notes: tuple[str, ...]

    @property
    def model(self) -> dict[str, Tensor]:
        """The model's own tensors."""
        return {key.removeprefix("model."): value for key, value in self.tensors.items() if key.startswith("model.")}


def tree(directory: Path, packages: list[str]) -> Tree:
    """Read a run's configuration; code comes only from the packages that the user names.

    What an older version did not know yet is at its default, see :func:`trainctl.settings.existing.completed`.

    Raises:
        CheckpointError: If it cannot be read.
        ConfigError: If the run was made with packages that are not named.
    """
    found = rundir.read_config(directory)
    used = found.get("components") or []
    if not isinstance(used, list):
        raise CheckpointError(f"{directory / 'config.yaml'}: components={used}: not a list of packages")
    if missing := [name for name in used if name not in packages]:
        raise ConfigError(
            f"{directory.name} uses components of your own, which no run may load by itself: add components=[{','.join(map(str, missing))}]"
        )
    found |= {"components": packages}
    return existing.completed(found) if config.problems(found) else found


def load(directory: Path, which: str = "best") -> Weights:
    """Read the best weights of a run, or the last.

    Raises:
        CheckpointError: If there are none, or they are damaged.
    """
    saved = checkpoint.newest(directory, [which])
    if which == "best" and not saved.manifest.get("best"):
        which = "last"  # a run that was stopped before its first evaluation
    step = saved.manifest["state"]["best"]["step"] if which == "best" else saved.manifest["step"]
    return Weights(
        saved.tensors(which), saved.manifest["data"], step, tuple(f"passed over: {one}" for one in saved.passed_over)
    )


def checked(directory: Path, found: Tree) -> Config:
    """Check the configuration of a run.

    Raises:
        CheckpointError: If this version does not understand it.
    """
    try:
        return config.load(found)
    except ConfigError as error:
        by = rundir.read_json(directory / "run.json").get("trainctl", "an unknown version")
        hint = "" if by == rundir.version() else f" (written by trainctl {by}; this is trainctl {rundir.version()})"
        raise CheckpointError(f"{directory / 'config.yaml'}: {error}{hint}") from error


def build_model(settings: Config, weights: Weights, directory: Path) -> tuple[nn.Module, str, torch.device]:
    """Build the model of a run without its data; return it with its task and its device, ready to predict."""
    about, place = weights.about, device.choose(settings.device)
    shape, size = tuple(about["input_shape"]), len(about.get("vocabulary", ()))
    try:
        model, task = assemble.build_model(settings, shape, about["outputs"], about["task"], place, size)
    except ConfigError as error:
        raise CheckpointError(f"{directory / 'config.yaml'}: does not fit the run's data: {error}") from error
    checkpoint.load_weights(model, weights.model, directory)
    return model.eval(), task, place
