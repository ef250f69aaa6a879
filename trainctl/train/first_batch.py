"""Draw the first training batch as the model sees it: augmented, scaled, with its targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trainctl.components.augment.base import Mixing
from trainctl.data.shown import column_names, has_columns, kind_of, shown_values, words
from trainctl.report import batch_plot
from trainctl.report.picture import picture
from trainctl.run.run import Run
from trainctl.step.part import ignore
from trainctl.step.pieces import pieces_of
from trainctl.store.runpath import AnyPath
from trainctl.wording import amount

MOST = {"image": 24, "table": 16, "text": 16, "series": 6}  # rows that are drawn
MOST_COLUMNS = {"table": 12, "series": 4}


@dataclass(frozen=True)
class Batch:
    """Rows of a batch.

    Args:
        seen: As they are stored, after augmentation ``(N, ...)``.
        targets: Their scaled targets, or classes ``(N, ...)``; fewer if some rows have no label.
        mixings: How rows were mixed.
        size: How many rows the batch has.
    """

    seen: Tensor
    targets: Tensor
    mixings: tuple[Mixing, ...]
    size: int


@torch.no_grad()
def first(run: Run, most: int) -> Batch:
    """Return the first rows of a run's first batch; order and augmentation are functions of the step.

    Args:
        run: The run, at any step; it does not change.
        most: How many rows to return, at most.
    """
    begun = replace(run, state=replace(run.state, step=0))
    inputs, targets, *taught = next(iter(begun.order.batches(0)))
    piece = next(iter(pieces_of(begun, ignore)(inputs, targets, taught[0] if taught else None)))
    seen = piece.inputs if piece.augmented is None else piece.augmented
    return Batch(seen[:most].cpu(), piece.targets.cpu(), piece.mixings, len(inputs))


def draw(run: Run, path: AnyPath, about: str) -> AnyPath:
    """Draw the first training batch.

    Raises:
        StorageError: If the file cannot be written.
    """
    schema = run.data.schema
    kind = kind_of(schema)
    batch = first(run, MOST[kind])
    augments = [member["name"] for member in run.config.members("augment") if member["name"] != "none"]
    how = f", after {', '.join(augments)}" if augments else ""
    title = f"First training batch: {len(batch.seen):,} of {amount(batch.size, 'row')}{how}"
    named = captions(run, batch)
    scaled = run.data.input_scale(batch.seen.to(run.device)).cpu()
    if kind == "image":
        return batch_plot.images([picture(row) for row in batch.seen], named, title, about, path)
    if kind == "text":
        rows = [
            (one.replace("\n", " + "), _text(row.tolist(), schema.vocabulary))
            for one, row in zip(named, batch.seen, strict=True)
        ]
        return batch_plot.texts(rows, title, about, path)
    names = column_names(schema)
    if kind == "series":
        few, following = MOST_COLUMNS["series"], _following(run, batch)
        shown = None if following is None else following[..., :few]
        return batch_plot.series(scaled[..., :few].numpy(), shown, names[:few], named, title, about, path)
    named = [one.replace("\n", " + ") for one in named]
    cells = shown_values(batch.seen.reshape(len(batch.seen), -1), schema)
    few = MOST_COLUMNS["table"]
    colours = _by_column(run, scaled.reshape(len(scaled), -1))
    return batch_plot.table(
        names[:few], colours[:, :few], [line[:few] for line in cells], named, title, about, path
    )  # fmt: skip


def captions(run: Run, batch: Batch) -> list[str]:
    """Return what is to be predicted for each row, mixed as the rows are."""
    if run.task == "reconstruction" or run.data.no_targets:
        return [f"row {place}" for place in range(len(batch.seen))]
    parts = [(torch.ones(()), batch.targets)]
    for mixing in batch.mixings:
        own = Mixing(mixing.weight.cpu(), mixing.partner.cpu())
        parts = own.parts(parts)
    said = [(float(share), _targets(run, targets[: len(batch.seen)])) for share, targets in parts]
    rows: list[str] = []
    for place in range(len(batch.seen)):
        if place >= len(batch.targets):
            rows.append("(no label)")
            continue
        shares: dict[str, float] = {}
        for share, names in said:
            shares[names[place]] = shares.get(names[place], 0.0) + share
        if len(shares) == 1:
            rows += shares
        else:
            rows.append("\n".join(f"{share:.2f} {name}" for name, share in shares.items()))
    return rows


def _targets(run: Run, targets: Tensor) -> list[str]:
    """Return targets as text, in their units."""
    schema = run.data.schema
    if run.task == "classification":
        return [schema.class_names[index] for index in targets.tolist()]
    scale = run.data.target_scale
    values = (targets if scale is None else scale.to(torch.device("cpu")).inverse(targets)).double()
    if schema.target_centre:
        values = values + torch.tensor(schema.target_centre, dtype=torch.float64)
    return [", ".join(f"{value:.4g}" for value in row[:3]) + ("..." if len(row) > 3 else "") for row in values.tolist()]


def _following(run: Run, batch: Batch) -> np.ndarray | None:
    """Return the scaled targets of windows as next steps ``(N, H, F)``; None if they are something else."""
    schema = run.data.schema
    width = schema.input_shape[-1]
    if run.task != "regression" or schema.outputs % width or batch.mixings:
        return None
    steps = schema.outputs // width
    expected = tuple(f"{name}+{step}" for step in range(1, steps + 1) for name in schema.input_names)
    if schema.target_names != expected:
        return None
    return batch.targets[: len(batch.seen)].reshape(-1, steps, width).numpy()


def _by_column(run: Run, scaled: Tensor) -> np.ndarray:
    """Return one number for each column of the file ``(N, K)``: of a category, the largest of its numbers."""
    schema = run.data.schema
    if not has_columns(schema):
        return scaled.numpy()
    parts = scaled.split([len(column.names) for column in schema.columns], dim=1)
    return torch.stack([part.max(1).values if part.shape[1] > 1 else part[:, 0] for part in parts], 1).numpy()


def _text(ids: Sequence[int], vocabulary: Sequence[str]) -> str:
    tokens = words(ids, vocabulary)
    return (" " if any(len(token) > 1 for token in tokens if token != vocabulary[1]) else "").join(tokens)
