"""What the numbers of a row mean: the columns, pixels or tokens to which they belong, and how they are called."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from trainctl.data.centre import add
from trainctl.data.schema import Schema
from trainctl.finished.attribution import patches

Kind = Literal["table", "series", "image", "text"]
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
    shape = schema.input_shape
    if schema.vocabulary:
        return Features("text", shape, (), ())
    if len(shape) == 3:
        return Features("image", shape, (), ())
    kind: Kind = "series" if len(shape) == 2 else "table"
    width = shape[-1] if len(shape) < 3 else math.prod(shape)  # of a data set of your own, each number is a feature
    if schema.columns and sum(len(column.names) for column in schema.columns) == width:
        owners = tuple(index for index, column in enumerate(schema.columns) for _ in column.names)
        return Features(kind, shape, tuple(column.name for column in schema.columns), owners)
    names = schema.input_names if len(schema.input_names) == width else tuple(f"input_{n}" for n in range(width))
    return Features(kind, shape, tuple(names), tuple(range(width)))


def shown_values(rows: Tensor, schema: Schema) -> list[list[str]]:
    """Return the value of each column of rows of a table ``(N, F)``, cleaned but not scaled, as a text.

    A category is called by its name; a date is the number of days that the model reads.
    """
    values = add(rows, schema.input_centre).tolist()
    if sum(len(column.names) for column in schema.columns) != rows.shape[-1]:
        return [[f"{value:.4g}" for value in row] for row in values]
    shown = []
    for row in values:
        start, cells = 0, []
        for column in schema.columns:
            own = row[start : start + len(column.names)]
            start += len(own)
            cells.append(_category(own, column.categories) if column.categories else f"{own[0]:.6g}")
        shown.append(cells)
    return shown


def _category(numbers: Sequence[float], categories: Sequence[str]) -> str:
    """Return the category that a row has; a category that did not occur in training is encoded as none."""
    largest = max(range(len(numbers)), key=numbers.__getitem__)
    return categories[largest] if numbers[largest] > 0 else "(none of training)"


def words(ids: Sequence[int], vocabulary: Sequence[str]) -> list[str]:
    """Return the tokens of a text, without the padding after its end.

    >>> words([2, 1, 0], ("<pad>", "<unknown>", "good"))
    ['good', '<unknown>']
    """
    end = max((place for place, code in enumerate(ids, 1) if code), default=0)
    return [vocabulary[code] for code in ids[:end]]
