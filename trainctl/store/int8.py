"""The stored form of weights of 8 bits: integers and the scales of their channels, in a file of tensors.

::

    <name>         I8     q, shape of the weight; several of them
    int8.axes      U8     for each tensor of type I8, in the order of their names: the dimension of its channels, or 255
                          for a tensor that is no weight
    int8.scales    BF16   the scales s of all channels of all these weights, in the same order
    int8.format    U8     1

A weight is q * s, which is exact in floating point, because q has 7 bits and s has 8.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainctl.components.compress._int8_layers import scales
from trainctl.errors import CheckpointError

FORMAT, PLAIN = 1, 255
MARK, AXES, SCALES = "int8.format", "int8.axes", "int8.scales"


def encode(named: Mapping[str, Tensor], axes: Mapping[str, int]) -> dict[str, Tensor]:
    """Return tensors of which weights are stored as integers, if they are multiples of their scales; others stay.

    Args:
        named: The tensors.
        axes: The names of the weights that are computed with 8 bits, and the axis of their channels.
    """
    stored, found = dict(named), dict[str, Tensor]()
    for name, axis in axes.items():
        weight = named[name].detach()
        scale = scales(weight, axis)
        steps = (weight / scale).round()
        signed_zeros = (weight == 0) & weight.signbit()  # which integers do not have
        if weight.dtype == torch.float32 and torch.equal(steps * scale, weight) and not bool(signed_zeros.any()):
            stored[name], found[name] = steps.to(torch.int8), scale.bfloat16().flatten().cpu()
    if not found:
        return stored
    integers = sorted(name for name, value in stored.items() if value.dtype == torch.int8)
    kinds = [axes[name] if name in found else PLAIN for name in integers]
    order = torch.cat([found[name] for name in integers if name in found])
    return stored | {AXES: torch.tensor(kinds).byte(), SCALES: order, MARK: torch.tensor(FORMAT).byte()}


def decode(stored: Mapping[str, Tensor], path: object) -> dict[str, Tensor]:
    """Return the tensors of a file with all weights in floating point.

    Raises:
        CheckpointError: If a newer version wrote them, or integers and scales do not match.
    """
    named = dict(stored)
    mark, axes, order = (named.pop(key, None) for key in (MARK, AXES, SCALES))
    if mark is None:
        return dict(stored)
    if mark.dtype != torch.uint8 or mark.numel() != 1 or int(mark) != FORMAT:
        raise CheckpointError(
            f"{path}: stores weights of 8 bits in format {mark.flatten()[:1].tolist()}; this version of trainctl reads format"
            f" {FORMAT}"
        )
    integers = sorted(name for name, value in named.items() if value.dtype == torch.int8)
    known = axes is not None and axes.dtype == torch.uint8 and axes.shape == (len(integers),)
    if axes is None or not known or order is None or order.ndim != 1 or order.dtype != torch.bfloat16:
        raise CheckpointError(f"{path}: damaged (integers and scales do not match)")
    begin = 0
    for name, axis in zip(integers, axes.tolist(), strict=True):
        if axis == PLAIN:
            continue
        steps = named[name]
        channels = steps.shape[axis] if axis < steps.ndim else -1
        scale = order[begin : begin + channels]
        if len(scale) != channels:
            raise CheckpointError(f"{path}: damaged ({name}: integers and scales do not match)")
        begin += channels
        named[name] = steps.float() * scale.float().view([-1 if other == axis else 1 for other in range(steps.ndim)])
    if begin != order.numel():
        raise CheckpointError(f"{path}: damaged (integers and scales do not match)")
    return named
