"""Draw a few rows of a data set that nothing was trained on: images, lines of a table, texts, or windows of a series."""

import torch
from torch import Tensor

from trainctl.components.dataset.base import Dataset
from trainctl.data.schema import Schema
from trainctl.data.shown import column_names, excerpt, has_columns, kind_of, shown_values
from trainctl.report import batch_plot
from trainctl.report.picture import picture
from trainctl.store.runpath import AnyPath

MOST = {"image": 24, "table": 16, "text": 16, "series": 6}  # rows that are drawn
MOST_COLUMNS = {"table": 12, "series": 4}
LONGEST_TEXT = 200  # characters
COLOURS = "standard deviations from the mean of the column"


def draw(dataset: Dataset, path: AnyPath, about: str) -> AnyPath:
    """Draw rows of a data set, evenly spaced, each with its target.

    Args:
        dataset: The data set, whose rows may stay on disk.
        path: The PNG file.
        about: The name of the data.

    Raises:
        StorageError: If the file cannot be written.
    """
    schema = Schema.of(dataset)
    kind = kind_of(schema)
    total = len(dataset.inputs)
    numbers = torch.linspace(0, total - 1, min(MOST[kind], total), dtype=torch.float64).round().long()
    rows, targets = dataset.rows(numbers), _targets(dataset, numbers)
    title = f"{len(rows):,} of {total:,} rows"
    if kind == "image":
        return batch_plot.images([picture(row) for row in rows], targets, title, about, path)
    if kind == "text":
        texts = [excerpt(row.tolist(), dataset.vocabulary, LONGEST_TEXT) for row in rows]
        return batch_plot.texts(list(zip(targets, texts, strict=True)), title, about, path)
    names, few = column_names(schema), MOST_COLUMNS[kind]
    if kind == "series":
        own = torch.tensor(dataset.input_centre or (0.0,))
        windows = (rows.double() + own)[..., :few].numpy()
        return batch_plot.series(windows, None, names[:few], targets, title, about, path, "value")
    flat = rows.reshape(len(rows), -1)
    cells = [line[:few] for line in shown_values(flat, schema)]
    return batch_plot.table(
        names[:few], _colours(flat, schema)[:, :few].numpy(), cells, targets, title, about, path, COLOURS
    )


def _targets(dataset: Dataset, numbers: Tensor) -> list[str]:
    """Return the class, or the values to be predicted, of each of these rows."""
    if dataset.no_targets:
        return [f"row {number}" for number in numbers.tolist()]
    values = dataset.targets[numbers]
    if dataset.task == "classification":
        return ["(no label)" if index < 0 else dataset.class_names[index] for index in values.tolist()]
    if dataset.target_centre:
        values = values.double() + torch.tensor(dataset.target_centre, dtype=torch.float64)
    return [", ".join(f"{value:.6g}" for value in row[:3]) + ("..." if len(row) > 3 else "") for row in values.tolist()]


def _colours(rows: Tensor, schema: Schema) -> Tensor:
    """Return how far each number is from the mean of its column ``(N, K)``; 0 for categories and missing values."""
    widths = [len(column.names) for column in schema.columns] if has_columns(schema) else [1] * rows.shape[1]
    parts = []
    for part in rows.double().split(widths, dim=1):
        column = part[:, 0] if part.shape[1] == 1 else torch.zeros(len(part), dtype=torch.float64)
        known = column[column.isfinite()]
        spread = known.std(correction=0) if len(known) else torch.zeros(())
        far = (column - known.mean()) / spread if spread > 0 else torch.zeros_like(column)
        parts.append(far.nan_to_num(0.0, 0.0, 0.0))
    return torch.stack(parts, 1)
