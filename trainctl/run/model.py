"""A checked configuration and a schema -> an initialised model that was tried on one row."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainctl.components.loss.base import Task
from trainctl.components.model.base import Reconstruction, try_row
from trainctl.data.schema import Schema
from trainctl.errors import ConfigError
from trainctl.run import factory
from trainctl.settings.config import Config


def build_model(
    config: Config, schema: Schema, device: torch.device, examples: Callable[[], Tensor] | None = None
) -> tuple[nn.Module, Task]:
    """Build and initialise the model, and try it on one row.

    Args:
        config: Of the run.
        schema: Of the data.
        device: Where the model goes.
        examples: Returns training rows as the model sees them; None for a model that is not initialised, because its
            weights are loaded.

    Returns:
        The model in training mode, and its task: the data's, or a reconstruction.

    Raises:
        ConfigError: If it cannot take such rows, or returns something of another shape than the task needs.
    """
    name, shape, tokens = config.parts["model"]["name"], schema.input_shape, len(schema.vocabulary)
    if tokens and not factory.takes("model", config.parts["model"], config.components, "vocabulary_size"):
        raise ConfigError(
            f"model={name} takes no vocabulary_size, so it cannot read rows of token ids, as dataset=text has them:"
            f" give model=rnn"
        )
    try:
        model: nn.Module = factory.member(
            config, "model", input_shape=shape, outputs=schema.outputs, vocabulary_size=tokens
        )
    except (RuntimeError, TypeError, OverflowError) as error:
        if "overflow" not in str(error).lower() and "too large" not in str(error).lower():
            raise
        reason = str(error).partition("\n")[0][:100]
        raise ConfigError(f"model={name}: a layer is too large to allocate: {reason}") from error
    if examples is not None:
        factory.member(config, "init", model=model, examples=examples)
    reconstructs = isinstance(model, Reconstruction)
    needed = shape if reconstructs else (schema.outputs,)
    model.to(device).to(memory_format=layout(model)).eval()
    row = torch.zeros(1, *shape, dtype=torch.long if tokens else torch.float32, device=device)
    returned = tuple(try_row(name, model, row).shape[1:])
    if returned != needed:
        raise ConfigError(f"model={name} returns {returned} for a row, the data needs {needed}")
    return model.train(), "reconstruction" if reconstructs else schema.task


def layout(model: nn.Module) -> torch.memory_format:
    """Return how a model's weights lie in memory: channels last where it convolves images, which is fastest."""
    images = any(isinstance(module, nn.Conv2d) for module in model.modules())
    return torch.channels_last if images else torch.preserve_format


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return a model's batch-norm layers."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def decay_groups(model: nn.Module, *, decay_norm_and_bias: bool) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters that weight decay and penalties reach, and those that they spare.

    Biases and the parameters of norm layers have one dimension, all weights have more.
    """
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in learned if parameter.ndim > 1 or decay_norm_and_bias]
    spared = [parameter for parameter in learned if parameter.ndim <= 1 and not decay_norm_and_bias]
    return decayed, spared
