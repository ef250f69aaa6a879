"""Layers that compute with weights and activations of 8 bits."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

WEIGHT_STEPS, ACTIVATION_STEPS = 127, 255  # weights: -127..127; activations: 0..255
SMALLEST = 2.0**-120  # scale, of weights or activations that are all 0
SLOWEST = 0.01  # weight of a batch in the running range
MOST_BATCHES = 1000.0  # that are counted


class Range(nn.Module):
    """The range of a layer's inputs or outputs, which are rounded to 255 equal steps of it.

    In training it follows the batches. In evaluation it is fixed; values pass unchanged as long as no range is known.

    Attributes:
        limits: Lower limit, upper limit, and the number of batches (up to 1,000) that they are from ``(3,)``.
        active: Whether it does anything in training.
        recording: Whether to extend the range by all values in evaluation, which then pass unchanged.
        fixed: Scale and limits in evaluation, once nothing changes any more; None to compute them at each call.
    """

    limits: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("limits", torch.zeros(3))
        self.active, self.recording = True, False
        self.fixed: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def known(self) -> Tensor:
        """Whether the range of any values is known, ``()``."""
        return self.limits[1] > self.limits[0]

    def forward(self, values: Tensor) -> Tensor:
        """Return the rounded values, of any shape."""
        if self.training:
            if not self.active:
                return values
            self._follow(values.detach())
            return self._rounded(values)
        if self.recording:
            self._extend(values.detach())
            return values
        if self.fixed:
            scale, low, high = self.fixed
            return values.clamp(low.to(values.dtype), high.to(values.dtype)).div_(scale).round_().mul_(scale)
        return torch.where(self.known, self._rounded(values), values)

    def steps(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scale and the limits, multiples of it; 0 is among the values that it can express."""
        low, high, _ = self.limits.unbind()
        scale = ((high - low) / ACTIVATION_STEPS).clamp(min=SMALLEST)
        below = (low / scale).round()
        return scale, below * scale, (below + ACTIVATION_STEPS) * scale

    @torch.no_grad()
    def _follow(self, values: Tensor) -> None:
        low, high, count = self.limits.unbind()
        count.add_(1).clamp_(max=MOST_BATCHES)
        weight = count.reciprocal().clamp(min=SLOWEST)
        low.lerp_(values.amin().float().clamp(max=0), weight)
        high.lerp_(values.amax().float().clamp(min=0), weight)

    @torch.no_grad()
    def _extend(self, values: Tensor) -> None:
        low, high, count = self.limits.unbind()
        count.add_(1).clamp_(max=MOST_BATCHES)
        low.copy_(torch.minimum(low, values.amin().float()))
        high.copy_(torch.maximum(high, values.amax().float()))

    def _rounded(self, values: Tensor) -> Tensor:
        scale, low, high = self.steps()
        rounded: Tensor = _ClipAndRound.apply(values, scale, low.to(values.dtype), high.to(values.dtype))
        return rounded


class _Round(torch.autograd.Function):
    """Round to multiples of a scale; the gradient passes unchanged."""

    @staticmethod
    def forward(context: Any, values: Tensor, scale: Tensor) -> Tensor:
        return (values / scale).round() * scale

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _ClipAndRound(torch.autograd.Function):
    """Clip values to limits and round them to multiples of a scale; the gradient of clipped values is 0.

    The derivative is written out: that of ``Tensor.clamp`` has another memory layout while kernels are recorded, so that
    the layers before would compute other bits.
    """

    @staticmethod
    def forward(context: Any, values: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
        context.save_for_backward((values >= low) & (values <= high))
        return (values.clamp(low, high) / scale).round() * scale

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = context.saved_tensors
        return gradients[0] * inside, None, None, None


def scales(weight: Tensor, axis: int) -> Tensor:
    """Return the scale of each channel, which has 8 significant bits, with the dimensions of the weight.

    >>> weight = torch.tensor([[1.27, -0.5], [0.0, 254.0]])
    >>> scales(weight, 0)
    tensor([[0.0100],
            [2.0000]])
    """
    others = [dimension for dimension in range(weight.ndim) if dimension != axis]
    largest = weight.detach().abs().amax(others, keepdim=True)
    return (largest / WEIGHT_STEPS).bfloat16().float().clamp(min=SMALLEST)


def rounded(weight: Tensor, axis: int) -> Tensor:
    """Return the quantised weights as floats; the gradient passes unchanged."""
    result: Tensor = _Round.apply(weight, scales(weight, axis))
    return result


class Int8Linear(nn.Linear):
    """A linear layer on 8-bit inputs and weights."""

    input_range: Range

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs, in floating point."""
        return functional.linear(self.input_range(input), _weight(self, self.weight), self.bias)


class _Int8Conv:
    """A convolution on 8-bit inputs and weights, with 8-bit outputs."""

    def forward(self: Any, input: Tensor) -> Tensor:
        """Return the outputs."""
        outputs = self._conv_forward(self.input_range(input), _weight(self, self.weight), self.bias)
        rounded_outputs: Tensor = self.output_range(outputs)
        return rounded_outputs


class Int8Conv1d(_Int8Conv, nn.Conv1d):
    """A convolution over sequences."""


class Int8Conv2d(_Int8Conv, nn.Conv2d):
    """A convolution over images."""


class Int8Embedding(nn.Embedding):
    """An embedding with 8-bit weights, one scale for each column."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the vectors of token ids."""
        return functional.embedding(input, _weight(self, self.weight, 1), self.padding_idx)


class _Int8Recurrent:
    """A recurrent layer on 8-bit inputs and weights; its states are floating point."""

    def forward(self: Any, input: Any, hx: Any = None) -> Any:
        """Return the states and the last state."""
        packed = isinstance(input, PackedSequence)
        read = input._replace(data=self.input_range(input.data)) if packed else self.input_range(input)
        weights = self._flat_weights
        self._flat_weights = [_weight(self, weight) if weight.ndim > 1 else weight for weight in weights]
        try:
            return super().forward(read, hx)  # type: ignore[misc]
        finally:
            self._flat_weights = weights


class Int8RNN(_Int8Recurrent, nn.RNN):
    """A plain recurrent layer."""


class Int8GRU(_Int8Recurrent, nn.GRU):
    """A gated recurrent layer."""


class Int8LSTM(_Int8Recurrent, nn.LSTM):
    """A layer of long short-term memory."""


KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Int8Linear, nn.Conv1d: Int8Conv1d, nn.Conv2d: Int8Conv2d, nn.Embedding: Int8Embedding,
    nn.RNN: Int8RNN, nn.GRU: Int8GRU, nn.LSTM: Int8LSTM,
}  # fmt: skip


def _weight(layer: Any, weight: Tensor, axis: int = 0) -> Tensor:
    """Return the weight that a layer computes with."""
    if layer.training:
        return rounded(weight, axis) if layer.active else weight
    return weight if layer.fixed else rounded(weight, axis)
