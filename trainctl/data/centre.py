"""Numbers in float64 -> float32, around a centre where float32 would lose their digits.

float32 keeps 7 digits: of the Julian date 2459123.4567 it keeps 2459123.5. What a model learns from is the difference
from a typical value, so this is what is kept: 0.0567 - 0.0167 has all its digits. Whatever comes behind (cleaning,
scaling, the model) sees differences; a prediction is the centre plus the model's output, added in float64.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trainctl.components.dataset.base import Dataset
from trainctl.data.schema import Schema
from trainctl.fileformat.stored import Stored

TOLERATED = 1e-5  # mean rounding error, as a fraction of the spread of a column
GAIN = 4  # times less rounding error, or a centre is not worth having
LOOKED_AT = 1_000_000  # rows on disk
LOOKED_AT_BYTES = 1 << 26  # of them
NAMED = 3  # columns with a line of their own


@dataclass(frozen=True)
class Loss:
    """How many numbers of a column are distinct before and after they become float32."""

    name: str
    before: int
    after: int


@dataclass(frozen=True)
class Centres:
    """The centres to subtract from inputs and targets; None to find them."""

    input_centre: tuple[float, ...] | None = None
    target_centre: tuple[float, ...] | None = None


def narrowed(dataset: Dataset, trained: Schema | Centres | None = None) -> Dataset:
    """Return a data set in float32, with its centres, and a note on each column in which distinct numbers become equal.

    Args:
        dataset: As it was read. Inputs and values of a regression may be float64.
        trained: The centres to use, or the schema of a run that is continued or measured; None for a new run.
    """
    stored = dataset.stored
    inputs, input_centre, lost = _narrowed(
        dataset.inputs if stored is None else _looked_at(stored),
        dataset.input_names,
        "column",
        trained.input_centre if trained else None,
    )
    if stored is not None:
        stored = replace(stored, centre=input_centre)
        inputs = torch.empty(dataset.inputs.shape, dtype=inputs.dtype, device="meta")
    targets, target_centre, lost_targets = _narrowed(
        dataset.targets, dataset.target_names, "target", trained.target_centre if trained else None
    )
    return replace(
        dataset,
        inputs=inputs,
        stored=stored,
        targets=targets,
        input_centre=input_centre,
        target_centre=target_centre,
        notes=(*dataset.notes, *_notes([*lost, *lost_targets])),
    )


def narrowed_rows(values: Tensor, trained: Schema) -> tuple[Tensor, tuple[str, ...]]:
    """Return later rows in float32, around the centres of a run, and a note on each column that loses digits."""
    inputs, _, lost = _narrowed(values, trained.input_names, "column", trained.input_centre)
    return inputs, tuple(_notes(lost))


def subtract(values: Tensor, centre: Sequence[float]) -> Tensor:
    """Return ``(..., F)`` minus the centre of each column, computed in float64, in float32; no centre: all are 0."""
    if not centre or not values.is_floating_point() or len(centre) != values.shape[-1]:
        return values.float() if values.is_floating_point() else values
    result = torch.empty(values.shape, dtype=torch.float32)
    for index, middle in enumerate(centre):  # column by column: a copy of all in float64 would take twice the memory
        column = values[..., index]
        result[..., index] = column.double() - middle if middle else column
    return result


def add(values: Tensor, centre: Sequence[float]) -> Tensor:
    """Return ``(N, K)`` plus the centre of each column, in float64 on the CPU; unchanged if there is none."""
    return values.cpu().double() + torch.tensor(centre, dtype=torch.float64) if centre else values


def centre_of(values: np.ndarray) -> float:
    """Return what to subtract from a column before it becomes float32; 0 if nothing is to be gained.

    A column is centred if float32 would make different numbers equal, or would round them by more than 1e-5 of their
    spread on average, and if the centre makes the rounding at least 4 times smaller. The centre is the median of the
    numbers that float32 cannot hold. All other columns keep their numbers to the last bit.

    Args:
        values: Finite numbers ``(N,)`` in float64, sorted.

    >>> centre_of(np.array([1e9, 1e9 + 1, 1e9 + 2])), centre_of(np.array([0.1, 0.2, 0.3]))
    (1000000002.0, 0.0)
    """
    rounded = _float32(values)
    inexact = rounded != values
    if not inexact.any() or values[0] == values[-1] or not np.isfinite(rounded).all():
        return 0.0
    lost = values[inexact]
    middle = float(lost[len(lost) // 2])
    error = np.abs(lost - rounded[inexact]).mean()
    merged = _distinct(values) - _distinct(rounded)
    if not merged and error <= TOLERATED * _spread(np.abs(values - middle)):
        return 0.0
    shifted = _float32(values - middle)
    left = np.abs(lost - middle - shifted[inexact]).mean()
    worth = left * GAIN <= error and _distinct(values) - _distinct(shifted) <= merged
    return middle if worth else 0.0


def _narrowed(
    values: Tensor, names: Sequence[str], kind: str, centre: Sequence[float] | None
) -> tuple[Tensor, tuple[float, ...], list[Loss]]:
    """Return values in float32, the centre of each column, and what was lost nevertheless."""
    if not values.is_floating_point() or values.ndim not in (2, 3) or not len(values):
        return values.float() if values.is_floating_point() else values, tuple(centre or ()), []
    if values.dtype != torch.float64:
        return subtract(values, centre or ()), tuple(centre or ()), []
    found, lost = [], []
    for index, column in enumerate(_columns(values)):
        given = None if centre is None or len(centre) != values.shape[-1] else centre[index]
        middle = given if given is not None else 0.0 if centre is not None else centre_of(column)
        before, after = _distinct(column), _distinct(_float32(column - middle))
        if after < before:
            name = names[index] if index < len(names) else str(index)
            lost.append(Loss(f"{kind} {name}", before, after))
        found.append(middle)
    used = tuple(centre) if centre is not None else tuple(found) if any(found) else ()
    return subtract(values, used), used, lost


def _looked_at(stored: Stored) -> Tensor:
    """Return the rows on disk in which digits that float32 would lose are looked for: evenly spaced ones, as they are."""
    every = (
        -(-len(stored) // min(LOOKED_AT, max(1, LOOKED_AT_BYTES // (2 * stored.row_bytes))))
        if stored.wide
        else len(stored)
    )
    return torch.from_numpy(stored.exact(np.arange(0, len(stored), max(1, every))))


def _columns(values: Tensor) -> Iterator[np.ndarray]:
    """Yield the finite numbers of each column, sorted; each once where windows share their memory."""
    for index in range(values.shape[-1]):
        column = values[..., index]
        if column.ndim == 2 and column.stride(0) == column.stride(1):  # windows that start one row after the other
            column = torch.cat([column[:, 0], column[-1, 1:]])
        numbers = column.flatten().numpy()
        yield np.sort(numbers[np.isfinite(numbers)])


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # too large for float32: infinite, which cleaning refuses by row and column
        return values.astype(np.float32).astype(np.float64)


def _distinct(ordered: np.ndarray) -> int:
    return int((ordered[1:] != ordered[:-1]).sum()) + 1 if len(ordered) else 0


def _spread(distances: np.ndarray) -> float:
    """Return the median distance, which outliers do not move; the mean where more than half are 0."""
    return float(np.median(distances)) or float(distances.mean())


def _notes(lost: Sequence[Loss]) -> Iterable[str]:
    """Yield a line for each of the first columns, and one for all others."""
    for column in lost[:NAMED]:
        yield (
            f"{column.name}: {column.before:,} distinct numbers become {column.after:,} in float32, which keeps 7"
            " digits: the model cannot tell the others apart; rescale the column, or split it in two"
        )
    if more := lost[NAMED:]:
        yield f"the same is true of {len(more)} more: {', '.join(column.name for column in more)}"
