"""Training with weights and activations of 8 bits, and the layers that compute with them."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from trainctl.components.compress.base import Compress, Constraint, Moment, Training
from trainctl.errors import ConfigError

WEIGHT_STEPS, ACTIVATION_STEPS = 127, 255  # weights: -127..127; activations: 0..255
SMALLEST = 2.0**-120  # scale, of weights or activations that are all 0
SLOWEST = 0.01  # weight of a batch in the running range
MOST_BATCHES = 1000.0  # that are counted


def int8(*, begin: Annotated[float, "[0, 1)"]) -> Compress:
    r"""Compute with weights of 8 bits and inputs of layers of 8 bits, and train the float weights behind them.

    .. math::
        \hat w &= s_c\, \text{round}(w / s_c), & s_c &= \max_{i \in c} |w_i| / 127 \\
        \hat x &= s\, \text{round}(\text{clip}(x, l, h) / s), & s &= (h - l) / 255

    Each output channel :math:`c` of a linear, convolutional or recurrent layer has its own scale, as has each column of
    an embedding. Scales have 8 significant bits, so that a quantised weight is exact in floating point, and quantising
    it again changes nothing. The range :math:`[l, h]` of a layer's inputs, and of a convolution's outputs, contains 0;
    it is a running mean of the extremes of each batch, whose :math:`n`-th has the weight max(1/n, 0.01). Gradients pass
    the rounding unchanged, and are 0 where an activation was clipped. Biases, norms, recurrent states and the outputs of
    other layers stay floating point. ``trainctl quantize`` writes the 8-bit weights of such a run.

    Args:
        begin: Fraction of the run's steps that are trained in floating point before.

    Raises:
        ConfigError: If the model has no such layer.

    Source: B. Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
    inference, CVPR 2018, equations 1, 8 and 12 (``begin``: section 3.1); straight-through gradients: Y. Bengio,
    N. Leonard, A. Courville, 2013. There, weights of a whole layer share a scale, and activations are outputs.
    """

    def constrain(model: nn.Module, training: Training) -> Constraint:
        start = begin * training.total_steps
        state = [True]

        def before(moment: Moment) -> None:
            if state != [moment.position >= start]:
                state[:] = [moment.position >= start]
                activate(model, active=state[0])

        return Constraint(
            before=before,
            complete=lambda position: position >= start,
            phase=lambda position: position >= start,
        )

    return Compress(convert=convert, constrain=constrain)


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


def convert(model: nn.Module) -> None:
    """Let all layers of these kinds compute with 8 bits, in place; the names of the weights stay.

    Subclasses, which may compute something else, are left in floating point.

    Raises:
        ConfigError: If there is no such layer.
    """
    found: list[Any] = [module for module in model.modules() if type(module) in KINDS]
    if not found:
        raise ConfigError(
            f"compress=int8: {type(model).__name__} has no layer that can be quantised: linear, Conv1d, Conv2d, embedding"
            " or recurrent"
        )
    for module in found:
        convolution = isinstance(module, nn.Conv1d | nn.Conv2d)
        module.__class__ = KINDS[type(module)]
        module.active, module.fixed = True, False
        if not isinstance(module, nn.Embedding):
            module.input_range = Range()
        if convolution:
            module.output_range = Range()


def ranges(model: nn.Module) -> list[Range]:
    """Return the ranges of a converted model."""
    return [module for module in model.modules() if isinstance(module, Range)]


def _converted(model: nn.Module) -> list[Any]:
    """Return the ranges and the layers of 8 bits."""
    return [module for module in model.modules() if isinstance(module, (Range, *KINDS.values()))]


def activate(model: nn.Module, *, active: bool) -> None:
    """Let a converted model compute with 8 bits in training, or with floating point."""
    for module in _converted(model):
        module.active = active


@torch.no_grad()
def fix(model: nn.Module) -> None:
    """Round the weights of a model that is not trained any more, in place, so that evaluation need not round them again.

    The outputs stay the same.
    """
    named = dict(model.named_parameters())
    for name, axis in quantised_weights(model).items():
        named[name].copy_(rounded(named[name], axis) + 0.0)  # turns -0 into 0, which integers do not distinguish
    for module in _converted(model):
        if not isinstance(module, Range):
            module.fixed = True
        elif bool(module.known):
            module.fixed = module.steps()


def without_ranges(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a model's state that the model also has without 8 bits."""
    return {name: value for name, value in named.items() if not name.endswith("_range.limits")}


def quantised_weights(model: nn.Module) -> dict[str, int]:
    """Return the names of the weights of 8 bits in a converted model, with the axis of their channels."""
    found: dict[str, int] = {}
    for path, module in model.named_modules():
        if type(module) in KINDS.values():
            axis = 1 if isinstance(module, nn.Embedding) else 0
            own = module.named_parameters(recurse=False)
            found |= {f"{path}.{name}" if path else name: axis for name, weight in own if weight.ndim > 1}
    return found
