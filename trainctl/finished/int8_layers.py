"""Layers that compute with 8 bits, in the form that an exporter writes as such: rounding to a scale as one operation.

A layer of a run computes with 8 bits if it has an ``input_range``; a convolution may have an ``output_range``. A range has
``steps()``: its scale and its limits, which are multiples of it; and ``known``, whether it has seen any values. The weights
are multiples of one scale for each output channel.
"""

from typing import Any

import torch
from torch import Tensor, nn

MOST, STEPS = 127, 255  # weights: -127..127; inputs and outputs: 0..255 from the lower limit
SMALLEST = 2.0**-120  # scale


class Rounded(nn.Module):
    """Round values to one of 256 steps.

    Args:
        scale: Size of a step.
        zero: The step that is 0, in 0..255.
    """

    def __init__(self, scale: float, zero: int) -> None:
        super().__init__()
        self.scale, self.zero = scale, zero

    def forward(self, values: Tensor) -> Tensor:
        """Return the rounded values."""
        rounded: Tensor = torch.fake_quantize_per_tensor_affine(values, self.scale, self.zero, 0, STEPS)
        return rounded


class RoundedLayer(nn.Module):
    """A linear layer or a convolution on rounded inputs and weights.

    Args:
        layer: The layer; its weights are multiples of the scales.
        scales: Of the weights of each output channel ``(C,)``.
        before: Rounds its inputs.
        after: Rounds its outputs; None to leave them.
    """

    def __init__(
        self, layer: nn.Linear | nn.Conv1d | nn.Conv2d, scales: Tensor, before: Rounded, after: Rounded | None
    ):
        super().__init__()
        self.layer, self.before, self.after = layer, before, after
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int32))

    def forward(self, values: Tensor) -> Tensor:
        """Return the outputs."""
        layer, scales, zeros = self.layer, self.get_buffer("scales"), self.get_buffer("zeros")
        weight = torch.fake_quantize_per_channel_affine(layer.weight, scales, zeros, 0, -MOST - 1, MOST)
        outputs: Tensor
        if isinstance(layer, nn.Linear):
            outputs = nn.functional.linear(self.before(values), weight, layer.bias)
        else:
            outputs = layer._conv_forward(self.before(values), weight, layer.bias)
        return outputs if self.after is None else self.after(outputs)


def computes_with_8_bits(model: nn.Module) -> bool:
    """Return whether a layer of a model does."""
    return any(hasattr(module, "input_range") for module in model.modules())


def rounded_layer(layer: nn.Module) -> nn.Module:
    """Return a layer of 8 bits in the form that is exported as such; any other layer, or one it cannot express, as it is."""
    if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
        return layer
    before = _rounded(layer, "input_range")
    if before is None:
        return layer
    weight = layer.weight.detach()
    scales = (weight.abs().flatten(1).amax(1) / MOST).bfloat16().float().clamp(min=SMALLEST)
    shaped = scales.view(-1, *[1] * (weight.ndim - 1))
    whole = (weight / shaped).round()
    if not torch.equal(whole * shaped + 0.0, weight + 0.0) or whole.abs().max() > MOST:
        return layer
    kind = next(kind for kind in (nn.Linear, nn.Conv1d, nn.Conv2d) if isinstance(layer, kind))
    plain: Any = kind.__new__(kind)
    plain.__dict__ = {**layer.__dict__, "_modules": {}}  # the same layer without its ranges
    return RoundedLayer(plain, scales, before, _rounded(layer, "output_range"))


def _rounded(layer: Any, name: str) -> Rounded | None:
    """Return what rounds to a layer's range; None if it has none, or it is unknown."""
    found = getattr(layer, name, None)
    if found is None or not bool(found.known):
        return None
    scale, low, _ = found.steps()
    return Rounded(float(scale), int(torch.round(-low / scale)))
