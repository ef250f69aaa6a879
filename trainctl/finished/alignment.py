"""Reorder the hidden units of a model so that they match those of another one."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from trainctl.run.units import Axis, Structure, Units

MOST_PASSES = 100  # over all groups; a few are enough

Orders = Mapping[str, Tensor]  # by the name of a group: unit i becomes what was unit order[i]


def permuted(tensors: Mapping[str, Tensor], groups: Iterable[Units], orders: Orders) -> dict[str, Tensor]:
    """Return a model's tensors with its units in another order; the model computes the same.

    Args:
        tensors: The tensors of the model's state dict.
        groups: The groups of its units.
        orders: The new order of the units of each group ``(count,)``; a group that is missing keeps its own.
    """
    result = dict(tensors)
    for group in groups:
        if group.name in orders:
            for axis in (*group.written, *group.read):
                result[axis.tensor] = _reordered(result[axis.tensor], axis, orders[group.name])
    return result


def match(reference: Mapping[str, Tensor], tensors: Mapping[str, Tensor], structure: Structure) -> dict[str, Tensor]:
    r"""Return the order of units in which a model's weights resemble those of a reference most.

    .. math:: \max_{P_1, P_2, ...} \sum_t \langle A_t, P(B)_t \rangle

    over the tensors :math:`t` that have units, where :math:`P` reorders the units of all groups. One group is reordered
    at a time, with the others held, which is a linear assignment problem; passes go through the layers forwards and
    backwards in turn, until none changes anything.

    Args:
        reference: The tensors :math:`A` of the reference: learned ones only; statistics of norms have other units.
        tensors: The tensors :math:`B` of the model to reorder, under the same names.
        structure: The units of both.

    Returns:
        The order of the units of each group.

    Source: S. Ainsworth, J. Hayase, S. Srinivasa, Git Re-Basin: merging models modulo permutation symmetries, ICLR
    2023, algorithm 1. There, the groups are visited in a random order. Here, in addition, recurrent weights have the
    same units in both dimensions, so that a new order is kept only if the whole sum grows; and units that a group norm
    normalises together stay together.
    """
    ours, theirs = ({key: value.double().cpu() for key, value in given.items()} for given in (reference, tensors))
    orders = {group.name: torch.arange(group.count) for group in structure.groups}
    touching: dict[str, list[tuple[str, Axis]]] = {}
    for group in structure.groups:
        for axis in (*group.written, *group.read):
            if axis.tensor in ours:
                touching.setdefault(axis.tensor, []).append((group.name, axis))
    best = _resemblance(ours, permuted_learned(theirs, touching, orders))
    for number in range(MOST_PASSES):
        changed = False
        for group in structure.groups[:: -1 if number % 2 else 1]:
            order = assignment(_similarity(ours, theirs, touching, orders, group), group.blocks)
            proposed = orders | {group.name: order}
            total = _resemblance(ours, permuted_learned(theirs, touching, proposed))
            if total > best + 1e-12 * abs(best):
                orders, best, changed = proposed, total, True
        if not changed:
            break
    return orders


def assignment(similarity: Tensor, blocks: int) -> Tensor:
    """Return the order that maximises the sum of similarities ``(n, n)``; units of a block stay together.

    >>> assignment(torch.tensor([[0.0, 3.0], [1.0, 1.0]]), 1)
    tensor([1, 0])
    """
    if blocks == 1:
        return _assigned(similarity)
    size = len(similarity) // blocks
    tiles = similarity.reshape(blocks, size, blocks, size).transpose(1, 2)  # (ours, theirs, unit, unit)
    inside = torch.stack([torch.stack([_assigned(tile) for tile in row]) for row in tiles])
    totals = tiles.gather(3, inside[..., None]).sum((2, 3))
    outside = _assigned(totals)
    within = inside[torch.arange(blocks), outside]
    return (outside[:, None] * size + within).flatten()


def _assigned(similarity: Tensor) -> Tensor:
    """Return the column assigned to each row."""
    from scipy.optimize import linear_sum_assignment  # takes 0.2 s, which other commands need not wait for

    return torch.from_numpy(linear_sum_assignment(similarity.numpy(), maximize=True)[1])


def permuted_learned(
    tensors: Mapping[str, Tensor], touching: Mapping[str, Sequence[tuple[str, Axis]]], orders: Orders
) -> dict[str, Tensor]:
    """Return those tensors that have units, in a new order."""
    return {
        name: _with_orders(tensors[name], [(axis, orders[group]) for group, axis in axes])
        for name, axes in touching.items()
    }


def _similarity(
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    touching: Mapping[str, Sequence[tuple[str, Axis]]],
    orders: Orders,
    group: Units,
) -> Tensor:
    """Return the inner products of each of our units with each of theirs ``(n, n)``, the other groups in their order."""
    total = torch.zeros(group.count, group.count, dtype=torch.float64)
    for axis in (*group.written, *group.read):
        if axis.tensor not in touching:
            continue
        others = [(other, orders[name]) for name, other in touching[axis.tensor] if other is not axis]
        theirs_there = _with_orders(theirs[axis.tensor], others)
        total += _by_unit(ours[axis.tensor], axis, group.count) @ _by_unit(theirs_there, axis, group.count).T
    return total


def _by_unit(tensor: Tensor, axis: Axis, count: int) -> Tensor:
    """Return the values of each unit ``(count, values)``."""
    entries = axis.entries(count)
    return tensor.movedim(axis.dimension, 0)[entries.flatten()].reshape(count, -1)


def _with_orders(tensor: Tensor, orders: Iterable[tuple[Axis, Tensor]]) -> Tensor:
    for axis, order in orders:
        tensor = _reordered(tensor, axis, order)
    return tensor


def _reordered(tensor: Tensor, axis: Axis, order: Tensor) -> Tensor:
    """Return a tensor with the units of one dimension in another order; entries of other groups stay."""
    entries = axis.entries(len(order))
    index = torch.arange(tensor.shape[axis.dimension])
    index[entries.flatten()] = entries[order].flatten()
    return tensor.index_select(axis.dimension, index.to(tensor.device))


def _resemblance(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    """Return the sum of the products of all values of two models."""
    return float(sum((ours[name] * theirs[name]).sum() for name in theirs))
