"""Change the widths of a trained model: wider without changing its outputs, narrower by keeping the strongest units.

Wider: each new unit is a copy of an old one, and those that read the copies of a unit share its weight, so the outputs stay
the same. The shares are random, so that the copies get different gradients and become different units. A norm over units
keeps its statistics only if every unit has the same number of copies, in whole blocks for group norm.

Source: T. Chen, I. Goodfellow, J. Shlens, Net2Net: accelerating learning via knowledge transfer, ICLR 2016 (which adds
noise where shares are random here); H. Li et al., Pruning filters for efficient convnets, ICLR 2017 (the norm of weights).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainctl.errors import ConfigError
from trainctl.run.units import Axis, Structure, Units
from trainctl.wording import amount


@dataclass(frozen=True)
class Choice:
    """Which old unit each new unit is made from.

    Args:
        old: Number of the old unit for each new unit ``(n,)``.
        share: The fraction of the old unit's outgoing weights that the new unit gets ``(n,)``.
    """

    old: Tensor
    share: Tensor


def choose(before: Units, after: Units, weights: Mapping[str, Tensor]) -> Choice:
    """Choose the old unit from which each new one is made.

    Args:
        before: The units of the trained model.
        after: The units of the new model.
        weights: The trained model's state.

    Raises:
        ConfigError: If the outputs cannot stay the same, because a norm computes statistics over units.
    """
    if after.count == before.count:
        return Choice(torch.arange(before.count), torch.ones(before.count))
    if after.count < before.count:
        return Choice(strongest(before, after.count, weights), torch.ones(after.count))
    old = _copies(before, after)
    draws = torch.rand(after.count, dtype=torch.float64) + 0.5
    total = torch.zeros(before.count, dtype=torch.float64).index_add_(0, old, draws)
    return Choice(old, (draws / total[old]).float())


def _copies(before: Units, after: Units) -> Tensor:
    """Return the old unit that each unit of a wider layer copies."""
    if before.norm in ("none", "batch") and after.norm in ("none", "batch"):
        more = torch.randint(before.count, (after.count - before.count,))
        return torch.cat([torch.arange(before.count), more])
    factor, rest = divmod(after.count, before.count)
    if rest:
        raise ConfigError(
            f"layer {after.name}: {amount(before.count, 'unit')} cannot become {after.count}, because its {after.norm} norm computes"
            f" statistics over units: use a multiple of {before.count}, such as {before.count * (factor + 1)}"
        )
    tiles, rest = divmod(after.blocks, before.blocks)
    repeats, left = divmod(factor, max(tiles, 1))
    if rest or left or not tiles:
        raise ConfigError(
            f"layer {after.name}: {amount(before.count, 'unit')} in"
            f" {amount(before.blocks, 'group')} cannot become {amount(after.count, 'unit')} in"
            f" {amount(after.blocks, 'group')} with the same statistics: try another multiple of {before.count}"
        )
    size = before.count // before.blocks
    units = torch.arange(before.count).view(before.blocks, size).repeat_interleave(repeats, 1)
    return units.repeat(tiles, 1).flatten()


def strongest(units: Units, count: int, weights: Mapping[str, Tensor]) -> Tensor:
    """Return the numbers of the units with the largest norm of incoming times norm of outgoing weights, in their order."""
    incoming = _squares(units.written, units.count, weights)
    outgoing = _squares(units.read, units.count, weights)
    score = incoming * outgoing if units.read else incoming
    return score.argsort(descending=True, stable=True)[:count].sort().values


def _squares(axes: tuple[Axis, ...], count: int, weights: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of squares of each unit's entries in the weights of two or more dimensions ``(count,)``."""
    total = torch.zeros(count, dtype=torch.float64)
    for axis in axes:
        tensor = weights[axis.tensor]
        if tensor.ndim < 2:
            continue
        sums = tensor.detach().cpu().double().square().transpose(0, axis.dimension).flatten(1).sum(1)
        total += sums[axis.entries(count)].sum(1)
    return total


def resized(
    weights: Mapping[str, Tensor], before: Structure, after: Structure, shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Return the weights of a trained model in the shapes of a model with other widths.

    Args:
        weights: The trained model's state.
        before: Its units.
        after: The units of the new model, which has the same layers.
        shapes: The shapes of the new model's tensors; those that are not in the trained model are left out.

    Raises:
        ConfigError: If the outputs of a wider model would not be the same; names the layer.
    """
    choices = [choose(old, new, weights) for old, new in zip(before.groups, after.groups, strict=True)]
    indices: dict[tuple[str, int], Tensor] = {}
    shares: dict[tuple[str, int], Tensor] = {}
    for old, new, choice in zip(before.groups, after.groups, choices, strict=True):
        for reads, old_axes, new_axes in ((False, old.written, new.written), (True, old.read, new.read)):
            for old_axis, new_axis in zip(old_axes, new_axes, strict=True):
                key = (new_axis.tensor, new_axis.dimension)
                if key[0] not in shapes or key[0] not in weights:
                    continue
                size = shapes[key[0]][key[1]]
                index = indices.setdefault(key, torch.arange(size).clamp(max=weights[key[0]].shape[key[1]] - 1))
                entries = new_axis.entries(new.count)
                index[entries] = old_axis.entries(old.count)[choice.old]
                if reads:
                    factor = shares.setdefault(key, torch.ones(size))
                    factor[entries] = choice.share[:, None].expand_as(entries)
    result = dict(weights)
    for (name, dimension), index in indices.items():
        tensor = result[name]
        taken = tensor.index_select(dimension, index.to(tensor.device))
        if (name, dimension) in shares:
            shape = [-1 if axis == dimension else 1 for axis in range(tensor.ndim)]
            taken = taken * shares[name, dimension].to(taken.device, taken.dtype).view(shape)
        result[name] = taken
    return result
