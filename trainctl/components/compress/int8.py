"""Training with weights and activations of 8 bits."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from trainctl.components.compress._int8_layers import KINDS, Range, rounded
from trainctl.components.compress.base import Compress, Constraint, Moment, Training
from trainctl.errors import ConfigError


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
