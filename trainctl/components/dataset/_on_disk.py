"""Data sets whose rows were converted to files of ours, and stay on disk or are read into memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from trainctl.components.dataset.base import Dataset, Encoding, Keep, SchemaLike
from trainctl.fileformat.gathered import columns_of
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.packed import Packed, Source, existing
from trainctl.fileformat.room import Choice, Room, choose
from trainctl.fileformat.stored import Stored
from trainctl.fileformat.table import unseen_note


def shape_of(stored: Stored) -> Tensor:
    """Return a tensor with the shape and the type of inputs that stay on disk, and without memory."""
    dtype = torch.uint8 if stored.images else torch.float64 if stored.wide else torch.float32
    return torch.empty((len(stored), *stored.shape), dtype=dtype, device="meta")


def schema_json(schema: SchemaLike | None) -> object:
    """Return what of a finished run's schema changes how a file is converted, plain values."""
    if schema is None:
        return None
    return [schema.task, schema.class_names, schema.input_names, repr(schema.columns), bool(schema.input_centre)]


def kept(found: Packed, keep: Keep, memory: str | None, room: Room | None) -> Dataset:
    """Return the data set of a table that was converted, in memory or on disk as the settings say."""
    images = found.inputs.dtype == np.uint8
    need = found.inputs.nbytes if images else found.inputs.nbytes // found.inputs.dtype.itemsize * 4
    choice = choose(keep, memory, need, room, len(found.inputs))
    dataset = table_on_disk(found, choice.lines)
    return dataset if choice.disk else in_memory(dataset)


def images_on_disk(
    found: Packed,
    targets: np.ndarray,
    names: tuple[str, ...],
    choice: Choice,
    *,
    lines: Sequence[InferredLine],
    notes: Sequence[str],
    encoding: Encoding,
    val_rows: int = 0,
    test_rows: int = 0,
    files: tuple[str, ...] = (),
) -> Dataset:
    """Return the data set of images that were decoded, in memory or on disk as the settings say.

    Args:
        found: Their pixels.
        targets: Their classes ``(N,)``.
        names: The name of each class.
        choice: Where they are.
        lines: What was found, for the block at the start.
        notes: What may surprise, a line each.
        encoding: Further settings for reading such images.
        val_rows: Number of images of the source's own validation split.
        test_rows: Number of images of the source's own test split.
        files: The file of each, if it has one.
    """
    stored = Stored(found.inputs, root=found.root, finite=True)
    directory = found.inputs.path.parent
    mixed = (
        (f"images are sorted by class, so they were shuffled once, in {directory}",) if found.facts["shuffled"] else ()
    )
    dataset = Dataset(
        inputs=shape_of(stored),
        stored=stored,
        targets=torch.from_numpy(targets),
        task="classification",
        class_names=names,
        val_rows=val_rows,
        test_rows=test_rows,
        files=files,
        encoding=replace(encoding, keep="disk"),
        notes=(*found.notes, *notes, *found.facts["notes"], *(mixed if choice.disk else ())),
        inferred=(*lines, *choice.lines),
    )
    return dataset if choice.disk else in_memory(dataset)


def in_memory(dataset: Dataset) -> Dataset:
    """Return a data set with its inputs read into memory, as the file has them."""
    stored = dataset.stored
    assert stored is not None
    inputs = torch.from_numpy(stored.exact(np.arange(len(stored))))
    return replace(dataset, inputs=inputs, stored=None, encoding=replace(dataset.encoding, keep=None))


def of_same_columns(source: Source, schema: SchemaLike) -> Packed | None:
    """Return a table that was converted for training, if its columns and classes are those of a finished run."""
    found = existing(source)
    if found is None or columns_of(found) != schema.columns or tuple(found.facts["classes"]) != schema.class_names:
        return None
    return found


def table_on_disk(found: Packed, lines: Sequence[InferredLine]) -> Dataset:
    """Return the data set of a table that was converted.

    Args:
        found: Its rows; the facts are those of :class:`~trainctl.fileformat.gathered.Gathered` and of the data set.
        lines: What else to say in the block at the start.
    """
    facts, columns = found.facts, columns_of(found)
    stored = Stored(found.inputs, root=found.root, finite=facts["finite"])
    unseen = {name: Counter(texts) for name, texts in facts["unseen"].items()}
    mixed = (
        f"{facts['source']}: its rows are sorted by class, so they were shuffled once, in {found.inputs.path.parent}",
    )
    return Dataset(
        inputs=shape_of(stored),
        stored=stored,
        targets=torch.from_numpy(found.targets),
        task=facts["task"],
        class_names=tuple(facts["classes"]),
        input_names=tuple(name for column in columns for name in column.names),
        target_names=tuple(facts["targets"]),
        columns=columns,
        encoding=Encoding(delimiter=facts["delimiter"], keep="disk"),
        source=facts["source"],
        notes=(*found.notes, *facts["notes"], *unseen_note(unseen), *(mixed if facts["shuffled"] else ())),
        inferred=(*((label, text) for label, text in facts["lines"]), *lines),
        task_reason=facts["reason"],
        other_task=facts["other"],
        no_targets=not facts["targets"],
    )
