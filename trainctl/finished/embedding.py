"""The code of rows: what a network makes of them before its last layer, or in the bottleneck of an autoencoder."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.components.model.base import Reconstruction
from trainctl.data.schema import Schema
from trainctl.errors import ConfigError


@dataclass(frozen=True)
class Encoder:
    """Computes the code of rows: the input or the output of one of a model's layers.

    Args:
        model: The model, in evaluation mode.
        layer: The layer.
        before: Whether the code is the layer's input; otherwise its output.
        width: How many numbers a code has.
    """

    model: nn.Module
    layer: nn.Module
    before: bool
    width: int

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the code ``(N, D)`` of scaled inputs ``(N, *shape)``."""
        return _passing(self.model, self.layer, inputs, before=self.before).flatten(1)


def encoder(model: nn.Module, schema: Schema, device: torch.device) -> Encoder:
    """Return what computes the code of rows.

    The code of an autoencoder is the output of its bottleneck; of an autoencoder of your own that names none, the output
    of its narrowest layer. The code of every other network is the input of its last dense layer: the last hidden layer,
    after norm, activation and pooling.

    Args:
        model: The model, in evaluation mode.
        schema: Of the data, for a row with which the layers are found in the order in which they are computed.
        device: The model's device.

    Raises:
        ConfigError: If the model has no hidden layer, or no dense layer.
    """
    kind = torch.long if schema.vocabulary else torch.float32
    row = torch.zeros(1, *schema.input_shape, dtype=kind, device=device)
    layer, before = _layer(model, row)
    with torch.no_grad():
        width = _passing(model, layer, row, before=before).numel()
    return Encoder(model, layer, before, width)


def _layer(model: nn.Module, row: Tensor) -> tuple[nn.Module, bool]:
    """Return the layer that has the code, and whether the code is its input."""
    entered = _layers(model, row)
    if isinstance(model, Reconstruction):
        if model.code:
            return model.get_submodule(model.code), False
        if not (sized := [(size, layer) for layer, size in entered if size]):
            raise ConfigError("what=code: this model has no layers")
        return min(sized, key=lambda item: item[0])[1], False  # the first of equals
    dense = [place for place, (layer, _) in enumerate(entered) if isinstance(layer, nn.Linear)]
    if not dense:
        raise ConfigError("what=code: this model has no dense layer, so it has no last hidden layer")
    if not any(list(layer.parameters()) for layer, _ in entered[: dense[-1]]):
        raise ConfigError(
            "what=code: this model has no hidden layer; its outputs are computed directly from the inputs"
        )
    return entered[dense[-1]][0], True


def _layers(model: nn.Module, row: Tensor) -> list[tuple[nn.Module, int]]:
    """Return the layers without parts, in the order in which they are computed, with the sizes of their outputs."""
    found: list[tuple[nn.Module, int]] = []

    def note(layer: nn.Module, _: Any, output: Any) -> None:
        found.append((layer, output.numel() if isinstance(output, Tensor) else 0))

    hooks = [layer.register_forward_hook(note) for layer in model.modules() if not list(layer.children())]
    try:
        with torch.no_grad():
            model(row)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _passing(model: nn.Module, layer: nn.Module, inputs: Tensor, *, before: bool) -> Tensor:
    """Return what passes a layer, at its input or its output; of a layer that is used several times, the last."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(given[0] if before else output)

    hook = layer.register_forward_hook(keep)
    try:
        model(inputs)
    finally:
        hook.remove()
    return seen[-1]


def names(width: int) -> list[str]:
    """Return the names of the columns of a code.

    >>> names(2)
    ['code_0', 'code_1']
    """
    return [f"code_{index}" for index in range(width)]
