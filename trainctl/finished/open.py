"""Open a run's directory: read its configuration, schema and weights, for every command on a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainctl.components.compress import int8
from trainctl.components.loss.base import Task
from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.errors import CheckpointError, ConfigError
from trainctl.machine import device as devices
from trainctl.run.model import build_model
from trainctl.settings import existing
from trainctl.settings.config import Config, Tree
from trainctl.store import configuration as stored
from trainctl.store import restore, runpath
from trainctl.store.manifest import Saved
from trainctl.store.runpath import AnyPath, RunPath

ELSEWHERE = existing.ELSEWHERE  # settings that may change on another machine
# Takes the run's configuration, the overrides and the keys that may change; returns the changed configuration.
Change = Callable[[Tree, Sequence[str], Sequence[str]], Tree]


@dataclass(frozen=True)
class Weights:
    """The weights of a run, with the cleaning and scaling fitted to its training rows.

    Args:
        model: The model's tensors.
        fitted: The cleaning and scaling.
        step: Number of optimizer steps that the weights were trained for.
    """

    model: dict[str, Tensor]
    fitted: Fitted
    step: int


@dataclass(frozen=True)
class Finished:
    """A trained run on disk; its training may have stopped before its end.

    Args:
        directory: Directory of the run.
        config: Its configuration, with the overrides applied.
        overrides: The overrides, as typed.
        schema: Schema of the data that it was trained with.
        saved: Its newest undamaged checkpoint.
    """

    directory: RunPath
    config: Config
    overrides: tuple[str, ...]
    schema: Schema
    saved: Saved

    @property
    def notes(self) -> tuple[str, ...]:
        """Return notes for the user, one line each."""
        return tuple(f"skipped: {trouble}" for trouble in self.saved.skipped)

    def weights(self, which: str) -> Weights:
        """Read the best or the last weights; always the last if the run was stopped before its first evaluation.

        Raises:
            CheckpointError: If the weights are damaged.
        """
        manifest = self.saved.manifest
        best = which == "best" and manifest.best
        tensors = self.saved.tensors("best" if best else "last")
        model = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
        step = manifest.state["best"]["step"] if best else manifest.step
        return Weights(model, restore.fitted(tensors), step)


def open(
    directory: AnyPath,
    packages: Sequence[str],
    overrides: Sequence[str],
    allowed: Sequence[str],
    *,
    change: Change = existing.change,
    payloads: Sequence[str] = ("last", "best"),
) -> Finished:
    """Open a run.

    Args:
        directory: Directory of the run.
        packages: Packages of the user's components; user code is loaded only from these.
        overrides: ``key=value`` words that change the run's configuration.
        allowed: Keys that may change; ``dataset.`` stands for every key below it.
        change: Function that applies the overrides.
        payloads: The weights that must be undamaged; if those of the newest checkpoint are not, an older one is opened.

    Raises:
        CheckpointError: If the configuration or all checkpoints are missing or damaged.
        ConfigError: If the run uses packages that are not in ``packages``, or an override is not allowed.
    """
    directory = runpath.hold(directory)
    settings = configuration(directory, packages, overrides, allowed, change=change)
    saved = restore.newest(directory, payloads)
    schema = Schema.from_json(saved.manifest.data, saved.path)
    return Finished(directory, settings, tuple(overrides), schema, saved)


def configuration(
    directory: AnyPath,
    packages: Sequence[str],
    overrides: Sequence[str],
    allowed: Sequence[str],
    *,
    change: Change = existing.change,
) -> Config:
    """Read and change a run's configuration; arguments and errors are those of :func:`open`."""
    saved = stored.read(directory, packages)
    changed = change(saved.tree, overrides, allowed)
    return saved if changed == saved.tree else existing.check(changed)


def load_model(run: Finished, weights: Weights) -> tuple[nn.Module, Task, torch.device]:
    """Build the model of a run without its data; return it in eval mode, with its task and device.

    Raises:
        CheckpointError: If the model does not match the data or the weights.
    """
    return with_weights(run.config, run.schema, weights.model, run.directory)


def with_weights(
    config: Config, schema: Schema, tensors: dict[str, Tensor], where: AnyPath
) -> tuple[nn.Module, Task, torch.device]:
    """Build a model and give it weights; return it in eval mode, with its task and device.

    Args:
        config: The run's configuration.
        schema: Of its data.
        tensors: The model's.
        where: The run, for messages.

    Raises:
        CheckpointError: If the model does not match the data or the weights.
    """
    device = devices.find(config.device)
    try:
        model, task = build_model(config, schema, device)
    except ConfigError as error:
        raise CheckpointError(*error.within(f"{where / 'config.yaml'}: does not match the run's data: ")) from error
    restore.load_weights(model, tensors, where)
    int8.fix(model)
    return model.eval(), task, device
