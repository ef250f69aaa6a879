"""Join the tensors of small models to those of one wide model whose outputs are the mean of theirs, and split them again."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from trainctl.errors import CheckpointError
from trainctl.run.units import WIDTHS, Axis, Structure, Units
from trainctl.settings.config import Tree
from trainctl.wording import amount

Tensors = Mapping[str, Tensor]


def joined_widths(models: Sequence[Tree]) -> Tree:
    """Return the settings of a model that is as wide as several models together.

    >>> joined_widths([{"name": "mlp", "hidden": [4, 3]}, {"name": "mlp", "hidden": [2, 1]}])
    {'name': 'mlp', 'hidden': [6, 4]}
    """
    return {key: _sum([model[key] for model in models]) if key in WIDTHS else value for key, value in models[0].items()}


def split_widths(model: Tree, parts: int) -> list[Tree]:
    """Return the settings of models that are together as wide as one model.

    >>> split_widths({"name": "mlp", "hidden": [4, 3]}, 2)
    [{'name': 'mlp', 'hidden': [2, 2]}, {'name': 'mlp', 'hidden': [2, 1]}]
    """
    return [
        {key: _share(value, number, parts) if key in WIDTHS else value for key, value in model.items()}
        for number in range(parts)
    ]


def _sum(values: Sequence[int | float | list[int]]) -> int | float | list[int]:
    if isinstance(values[0], list):
        return [sum(column) for column in zip(*values, strict=True)]
    return sum(values)  # type: ignore[arg-type]


def _share(value: int | float | list[int], number: int, parts: int) -> int | float | list[int]:
    if isinstance(value, list):
        return [value // parts + (number < value % parts) for value in value]
    return value // parts + (number < value % parts) if isinstance(value, int) else value / parts


def require_addition(whole: Structure, parts: Sequence[Structure]) -> None:
    """Check that each layer of a model has as many units as those of its parts together.

    Raises:
        CheckpointError: If a layer has not.
    """
    names = {tuple(group.name for group in structure.groups) for structure in (whole, *parts)}
    if len(names) > 1:
        raise CheckpointError("the models have different layers")
    for group, *shares in zip(whole.groups, *(part.groups for part in parts), strict=True):
        counts = [share.count for share in shares]
        if sum(counts) != group.count:
            raise CheckpointError(
                f"layer {group.name} would have {amount(group.count, 'unit')}, not {' + '.join(map(str, counts))}: its number of units does"
                " not follow from the widths in the model's settings"
            )


def require_no_mixing(whole: Structure, parts: Sequence[Structure]) -> None:
    """Check that no norm of a joined model computes a statistic over units of several parts, and that outputs are linear.

    Raises:
        CheckpointError: If one does; the message names the layer.
    """
    for group, *shares in zip(whole.groups, *(part.groups for part in parts), strict=True):
        separate = group.norm in ("none", "batch") or (
            group.norm == "group" and all(_block(share) == _block(group) for share in shares)
        )
        if not separate:
            raise CheckpointError(
                f"method=join: the {group.norm} norm after layer {group.name} computes its statistics over units of several parts, so"
                " the joined model would not compute their mean: use trainctl ensemble, or models with norm=batch or none"
            )
    if not whole.linear_end:
        raise CheckpointError("method=join: the outputs are not linear in the last layer: use trainctl ensemble")


def _block(group: Units) -> float:
    return group.count / group.blocks


def join(
    parts: Sequence[Tensors], structures: Sequence[Structure], whole: Structure, template: Tensors
) -> dict[str, Tensor]:
    r"""Return the tensors of a model whose outputs are the mean of those of its parts.

    Each layer has the units of all parts, one part after the other, and no weights between them:

    .. math::
        W = \begin{pmatrix} W_1 & 0 \\ 0 & W_2 \end{pmatrix}, \qquad
        W_\text{out} = \tfrac1n (W_{\text{out},1}\; W_{\text{out},2}), \qquad b_\text{out} = \tfrac1n \sum_i b_{\text{out},i}

    The first layer reads the inputs for all of them, :math:`W = (W_1; W_2)`.

    Args:
        parts: The tensors of each part.
        structures: The units of each part.
        whole: The units of the joined model.
        template: The tensors of the joined model, for their shapes and types.
    """
    result = {}
    for name, like in template.items():
        if not like.is_floating_point():  # counters of batches
            result[name] = torch.stack([part[name] for part in parts]).amax(0).to(like.dtype)
            continue
        total = torch.zeros(like.shape, dtype=torch.float64)
        for number, part in enumerate(parts):
            places = _places(name, like, part[name], structures, whole, number)
            total.index_put_(places, part[name].double().cpu(), accumulate=True)
        result[name] = (total / len(parts) if name in whole.outputs else total).to(like.dtype)
    return result


def split(
    tensors: Tensors, structures: Sequence[Structure], whole: Structure, templates: Sequence[Tensors]
) -> list[dict[str, Tensor]]:
    """Return the tensors of each part of a model: its units, without the weights between different parts.

    The weights of the outputs are multiplied by the number of parts, so that :func:`join` returns the model without the
    weights between parts.

    Args:
        tensors: The tensors of the model.
        structures: The units of each part.
        whole: The units of the model.
        templates: The tensors of each part, for their shapes and types.
    """
    pieces = []
    for number, template in enumerate(templates):
        piece = {}
        for name, like in template.items():
            if not like.is_floating_point():
                piece[name] = tensors[name].clone()
                continue
            values = tensors[name].double().cpu()[_places(name, tensors[name], like, structures, whole, number)]
            weights = name in whole.outputs and like.ndim > 1
            piece[name] = (values * len(templates) if weights else values).to(like.dtype)
        pieces.append(piece)
    return pieces


def _places(
    name: str, large: Tensor, small: Tensor, structures: Sequence[Structure], whole: Structure, number: int
) -> tuple[Tensor, ...]:
    """Return where the entries of a part's tensor are in that of the whole, as an index for each dimension."""
    index = [torch.arange(size) for size in small.shape]
    for theirs, ours, before, group, share in _axes(name, structures, whole, number):
        entries = theirs.entries(group.count)[before : before + share.count]
        index[ours.dimension][ours.entries(share.count).flatten()] = entries.flatten()
    assert all(len(one) == 0 or int(one.max()) < size for one, size in zip(index, large.shape, strict=True))
    return tuple(
        one.reshape([-1 if dimension == other else 1 for other in range(small.ndim)])
        for dimension, one in enumerate(index)
    )


def _axes(
    name: str, structures: Sequence[Structure], whole: Structure, number: int
) -> Iterator[tuple[Axis, Axis, int, Units, Units]]:
    """Yield the axes of a tensor in the whole and in a part, the units of earlier parts, and the groups of both."""
    for index, group in enumerate(whole.groups):
        shares = [structure.groups[index] for structure in structures]
        before = sum(share.count for share in shares[:number])
        share = shares[number]
        ours = (*share.written, *share.read)
        for axis, own in zip((*group.written, *group.read), ours, strict=True):
            if axis.tensor == name:
                yield axis, own, before, group, share
