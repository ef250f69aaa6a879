"""Build and initialise a run's model, and try it on one row."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainctl.components.loss.base import Task
from trainctl.components.model.base import Reconstruction, try_row
from trainctl.data.schema import Schema
from trainctl.errors import ConfigError
from trainctl.run import factory
from trainctl.settings import component
from trainctl.settings.config import Config


def build_model(
    config: Config,
    schema: Schema,
    device: torch.device,
    examples: Callable[[], Tensor] | None = None,
    start: Callable[..., None] | None = None,
    pretrained: Callable[[nn.Module], None] | None = None,
) -> tuple[nn.Module, Task]:
    """Build and initialise the model, and try it on one row.

    Args:
        config: The run's configuration.
        schema: The data's schema.
        device: Device to move the model to.
        examples: Returns training rows as the model receives them; None to skip the initialisation, because weights are
            loaded later.
        start: Loads the weights of another run into a model, for ``init=run``.
        pretrained: Loads the weights of others into a model that starts from them; None if weights are loaded later.

    Returns:
        The model in training mode, and its task: the data's task, or reconstruction.

    Raises:
        ConfigError: If the model does not accept such rows, or its output has the wrong shape for the task.
    """
    name, shape, tokens = config.parts["model"]["name"], schema.input_shape, len(schema.vocabulary)
    model = bare_model(config, schema)
    if examples is not None:
        factory.member(config, "init", model=model, examples=examples, start=start)
    if pretrained is not None:
        pretrained(model)
    for compress in factory.members(config, "compress"):
        if compress.convert:
            compress.convert(model)
    reconstructs = isinstance(model, Reconstruction)
    needed = shape if reconstructs else (schema.outputs,)
    model.to(device).to(memory_format=layout(model)).eval()
    row = torch.zeros(1, *shape, dtype=torch.long if tokens else torch.float32, device=device)
    returned = tuple(try_row(name, model, row).shape[1:])
    if returned != needed:
        raise ConfigError(f"model={name} returns shape {returned} for a row, but the data needs {needed}")
    return model.train(), "reconstruction" if reconstructs else schema.task


def bare_model(config: Config, schema: Schema) -> nn.Module:
    """Return a model as its component builds it, on the CPU.

    Raises:
        ConfigError: If it does not accept such rows, or a layer is too large.
    """
    name, tokens = config.parts["model"]["name"], len(schema.vocabulary)
    reads_tokens = name == "ensemble" or factory.takes(
        "model", config.parts["model"], config.components, "vocabulary_size"
    )
    if tokens and not reads_tokens:
        raise ConfigError(
            f"model={name} has no parameter vocabulary_size, so it cannot read token ids, which dataset=text returns:"
            f" use e.g. model=rnn"
        )
    try:
        model: nn.Module = _build(config, schema, "model", config.parts["model"])
    except (RuntimeError, TypeError, OverflowError) as error:
        if "overflow" not in str(error).lower() and "too large" not in str(error).lower():
            raise
        reason = str(error).partition("\n")[0][:100]
        raise ConfigError(f"model={name}: a layer is too large to allocate: {reason}") from error
    return model


def _build(
    config: Config,
    schema: Schema,
    where: str,
    settings: Mapping[str, Any],
    compress: Mapping[str, Mapping[str, Any]] | None = None,
) -> nn.Module:
    """Build a model, or a model that is a part of another one.

    Args:
        config: The run's configuration.
        schema: The data's schema.
        where: The key of its settings.
        settings: ``name`` and every parameter; those of a part have not been checked yet.
        compress: The members of the group ``compress`` that a part was made with, by their labels; unchecked, too.

    Raises:
        ConfigError: If they are wrong, or do not suit the data.
    """
    if where != "model" and (wrong := component.problems("model", where, settings, config.components)):
        raise ConfigError(*wrong)
    model: nn.Module = factory.build(
        "model",
        settings,
        config.components,
        input_shape=schema.input_shape,
        outputs=schema.outputs,
        vocabulary_size=len(schema.vocabulary),
        task=schema.task,
        build=partial(_build, config, schema),
    )
    for label, member in (compress or {}).items():
        if wrong := component.problems("compress", f"{where}.compress.{label}", member, config.components):
            raise ConfigError(*wrong)
        if convert := factory.build("compress", member, config.components).convert:
            convert(model)
    return model


def layout(model: nn.Module) -> torch.memory_format:
    """Return the fastest memory format for a model: channels last if it has 2-D convolutions."""
    images = any(isinstance(module, nn.Conv2d) for module in model.modules())
    return torch.channels_last if images else torch.preserve_format


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return a model's batch-norm layers."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def held(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a model's state that this process has: of weights that the processes divide, its rows."""
    return {name: getattr(value, "_local_tensor", value) for name, value in model.state_dict().items()}


def decay_groups(model: nn.Module, *, decay_norm_and_bias: bool) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters to which weight decay and penalties apply, and those to which they do not.

    Biases and the parameters of norm layers have one dimension; all weights have more.
    """
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in learned if parameter.ndim > 1 or decay_norm_and_bias]
    spared = [parameter for parameter in learned if parameter.ndim <= 1 and not decay_norm_and_bias]
    return decayed, spared
