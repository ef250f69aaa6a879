"""The stored form of weights of 8 bits: integers and the scales of their channels, in a file of tensors.

::

    <name>               I8     q, shape of the weight
    <name>.int8_scale    BF16   s, with the weight's dimensions, 1 in all but that of the channels
    int8.format          U8     1

The weight is q * s, which is exact in floating point, because q has 7 bits and s has 8.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainctl.components.compress.int8 import scales
from trainctl.errors import CheckpointError

FORMAT = 1
MARK, SCALE = "int8.format", ".int8_scale"


def encode(named: Mapping[str, Tensor], axes: Mapping[str, int]) -> dict[str, Tensor]:
    """Return tensors of which weights are stored as integers, if they are multiples of their scales; others stay.

    Args:
        named: The tensors.
        axes: The names of the weights that are computed with 8 bits, and the axis of their channels.
    """
    stored = dict(named)
    for name, axis in axes.items():
        weight = named[name].detach()
        scale = scales(weight, axis)
        steps = (weight / scale).round()
        if weight.dtype == torch.float32 and torch.equal(steps * scale, weight):
            stored |= {name: steps.to(torch.int8), f"{name}{SCALE}": scale.bfloat16(), MARK: torch.tensor(FORMAT).byte()}
    return stored


def decode(stored: Mapping[str, Tensor], path: object) -> dict[str, Tensor]:
    """Return the tensors of a file with all weights in floating point.

    Raises:
        CheckpointError: If a newer version wrote them, or integers and scales do not match.
    """
    if MARK not in stored:
        return dict(stored)
    mark = stored[MARK]
    if mark.dtype != torch.uint8 or mark.numel() != 1 or int(mark) != FORMAT:
        raise CheckpointError(
            f"{path}: stores weights of 8 bits in format {mark.flatten()[:1].tolist()}; this version of trainctl reads format"
            f" {FORMAT}"
        )
    named: dict[str, Tensor] = {}
    for name, value in stored.items():
        if name == MARK or name.endswith(SCALE):
            continue
        scale = stored.get(f"{name}{SCALE}")
        named[name] = value if scale is None else _weight(name, value, scale, path)
    if lost := [name for name in stored if name.endswith(SCALE) and name.removesuffix(SCALE) not in stored]:
        raise CheckpointError(f"{path}: damaged ({lost[0]} belongs to no weight)")
    return named


def _weight(name: str, steps: Tensor, scale: Tensor, path: object) -> Tensor:
    fits = steps.ndim == scale.ndim and all(b in (1, a) for a, b in zip(steps.shape, scale.shape, strict=True))
    if steps.dtype != torch.int8 or scale.dtype != torch.bfloat16 or not fits:
        raise CheckpointError(f"{path}: damaged ({name}: integers and scales do not match)")
    return steps.float() * scale.float()
