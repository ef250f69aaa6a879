"""What the numbers of a row mean: the columns, pixels or tokens to which they belong, and how they are called."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from trainctl.data.schema import Schema
from trainctl.data.shown import Kind, column_names, has_columns, kind_of
from trainctl.finished.attribution import patches

PATCHES = 14  # patches of an image along its longer side, unless the patch is given


@dataclass(frozen=True)
class Features:
    """The features of a row, to each of which some of its numbers belong.

    Args:
        kind: What a row is.
        shape: Shape of a row as the model reads it; of a text, its length.
        columns: Names of the columns of a table or a series, as in the file: a category has one.
        column_of: The column of each encoded number ``(F,)``; of an image or a text, empty.
    """

    kind: Kind
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    column_of: tuple[int, ...]

    @cached_property
    def index(self) -> Tensor:
        """The feature of each number of a row, flat ``(prod(shape),)``; the channels of a pixel are one feature."""
        if self.kind == "text":
            return torch.arange(self.shape[0])
        if self.kind == "image":
            return torch.arange(self.shape[1] * self.shape[2]).repeat(self.shape[0])
        columns = torch.tensor(self.column_of)
        steps = self.shape[0] if self.kind == "series" else 1
        return (torch.arange(steps)[:, None] * len(self.columns) + columns).flatten()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the features: of columns, of ``y0_x0``, or of positions."""
        if self.kind == "table":
            return self.columns
        if self.kind == "series":
            return tuple(f"{name}[{step}]" for step in range(self.shape[0]) for name in self.columns)
        if self.kind == "image":
            return tuple(f"y{y}_x{x}" for y in range(self.shape[1]) for x in range(self.shape[2]))
        return tuple(str(position) for position in range(self.shape[0]))

    def gathered(self, values: Tensor) -> Tensor:
        """Return the sum of what belongs to each feature ``(N, K)``; of a text, of the numbers of a token's embedding."""
        if self.kind == "text":
            return values.sum(-1)
        index = self.index.to(values.device)
        return values.new_zeros(len(values), len(self.names)).index_add_(1, index, values.flatten(1))

    def parts(self, patch: int) -> tuple[list[Tensor], Tensor]:
        """Return what is replaced together: masks that broadcast to a row, and the part of each feature ``(K,)``.

        Args:
            patch: Side of a square of an image [pixels].
        """
        if self.kind == "text":  # the last dimension is that of the embedding
            return list(torch.eye(self.shape[0], dtype=torch.bool)[:, :, None]), torch.arange(self.shape[0])
        if self.kind != "image":
            every = torch.arange(len(self.names))
            return [(self.index == part).reshape(self.shape) for part in every], every
        _, height, width = self.shape
        part_of = torch.empty(height, width, dtype=torch.long)
        for part, (rows, columns) in enumerate(patches(height, width, patch)):
            part_of[rows, columns] = part
        return [(part_of == part)[None] for part in range(int(part_of.max()) + 1)], part_of.flatten()

    @property
    def usual_patch(self) -> int:
        """The side of a square of an image if none is given [pixels]."""
        return max(1, round(max(self.shape[-2:]) / PATCHES)) if self.kind == "image" else 1


def features(schema: Schema) -> Features:
    """Return the features of the rows that a run was trained with."""
    kind, shape = kind_of(schema), schema.input_shape
    if kind in ("text", "image"):
        return Features(kind, shape, (), ())
    names = column_names(schema)
    if has_columns(schema):
        owners = tuple(index for index, column in enumerate(schema.columns) for _ in column.names)
        return Features(kind, shape, names, owners)
    return Features(kind, shape, names, tuple(range(len(names))))
