"""Your own arrays in NumPy's formats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from trainctl.components.dataset._array_inputs import inputs_of
from trainctl.components.dataset._on_disk import shape_of
from trainctl.components.dataset.base import (
    Dataset,
    Encoding,
    Keep,
    PathText,
    SchemaLike,
    Size,
    Task,
    cache_directory,
)
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.array import read_array
from trainctl.fileformat.array_parts import read_parts
from trainctl.fileformat.digits import as_floats
from trainctl.fileformat.in_place import array_header, stored_in_place
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.label import as_classes, task_of_array, without_class
from trainctl.fileformat.packed import Packer, Source, packed
from trainctl.fileformat.place import check_file, required
from trainctl.fileformat.room import Choice, Room, choose
from trainctl.fileformat.rows_file import RowsFile, is_sorted_by_class, reordered
from trainctl.fileformat.stored import Layout, Stored
from trainctl.fileformat.target import NO_CLASS
from trainctl.wording import amount


def arrays(
    *,
    path: PathText | None,
    targets: PathText | None,
    task: Literal["auto", "classification", "regression"],
    keep: Keep,
    memory: Size | None,
    cache: PathText | None,
    schema: SchemaLike | None,
    unlabeled: bool = False,
    room: Room | None = None,
) -> Dataset:
    """Return your own arrays: an ``.npz`` with ``inputs`` and ``targets``, or two ``.npy`` files.

    Pickled arrays are rejected.

    Args:
        path: An ``.npz`` with the arrays ``inputs`` and ``targets`` (or ``x`` and ``y``; or ``x_train``, ``y_train``,
            ``x_test``, ``y_test``, which are taken as the splits), or the ``.npy`` of the inputs: tables ``(N, F)``,
            sequences ``(N, T, F)``, or images of bytes with 1 or 3 channels, ``(N, C, H, W)`` or ``(N, H, W, C)``, or
            without channels, ``(N, H, W)``.
        targets: The ``.npy`` of the targets: classes ``(N,)``, whole numbers or texts, or values ``(N,)`` or ``(N, K)``;
            null: they are in the ``.npz``.
        task: ``auto``: a classification if the targets have an integer type and one column.
        keep: ``memory``: all rows are in memory. ``disk``: the rows of two ``.npy`` stay in their files, which may be larger
            than memory; they are visited in windows of neighbouring rows that are shuffled. ``auto``: on disk if they would
            take more than half of the memory that is free.
        memory: The most memory that rows may take; null: half of what is free.
        cache: Directory in which the hashes of rows on disk are kept, and rows that were sorted by class are shuffled once;
            null: ``~/.cache/trainctl/rows``.
        schema: A finished run's schema, which determines the task and the classes. Supplied by ``assemble``.
        unlabeled: Whether the class -1 means that a row has no label; if not, it is a class. Supplied by ``assemble``: true
            with a teacher.
        room: The memory that is free. Supplied by ``assemble``.

    Returns:
        Images as uint8, others as float32 or float64; NaN is a missing value, see ``clean``.

    Raises:
        ConfigError: If ``path`` is null, or rows that are to stay on disk cannot be read from there.
        DataError: If the files cannot be read, or do not match; the message names the row.

    Source: NumPy, numpy.lib.format, the .npy format, versions 1.0 to 3.0.
    """
    file = Path(required("path", path, "FILE.npz"))
    check_file(file)
    if targets is None and file.suffix.lower() != ".npz":
        raise ConfigError(f"dataset.targets=null: {file.name} contains only inputs; set dataset.targets=FILE.npy")
    rows = array_header(file) if targets else None
    choice = _where(file, rows, keep, memory, room)
    values, answers, val_rows, test_rows, taken = _read(file, targets, rows if choice.disk else None)
    lines: tuple[InferredLine, ...] = ()
    notes: tuple[str, ...] = ()
    if isinstance(values, np.ndarray):
        inputs, lines, notes = inputs_of(values, file)
    amounts = answers.dtype.kind == "f" and (schema.task if schema else task) != "classification"
    missing = without_class(answers) if unlabeled and not amounts else np.zeros(len(answers), bool)
    found = task_of_array(answers[~missing] if missing.any() else answers) if task == "auto" and not schema else None
    chosen: Task = schema.task if schema else found.task if found else task  # type: ignore[assignment]
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    if chosen == "classification":
        known, classes = _classes(answers, missing, targets or file, schema)
    else:
        names = tuple(f"target_{column}" for column in range(answers.size // len(answers)))
        known, lost = _values(answers, names, targets or file)
        notes = (*notes, *lost)
    stored = None
    if isinstance(values, RowsFile):
        directory = Path(cache) if cache else cache_directory("cache") / "rows"
        stored, known, lines, mixed = _stored(values, known, file, Path(targets or file), directory)
        inputs, notes = shape_of(stored), (*notes, *mixed)
    return Dataset(
        inputs=inputs,
        stored=stored,
        encoding=Encoding(keep="disk" if stored else None),
        targets=torch.from_numpy(known),
        task=chosen,
        class_names=classes,
        target_names=names,
        val_rows=val_rows,
        test_rows=test_rows,
        inferred=(*lines, *choice.lines, *((("splits", taken),) if taken else ())),
        notes=notes,
        task_reason=found.reason if found else "" if schema else f"as dataset.task={task} says",
        other_task=found.other if found else "",
    )


def _read(
    file: Path, targets: str | None, rows: RowsFile | None
) -> tuple[np.ndarray | RowsFile, np.ndarray, int, int, str]:
    """Return inputs, targets, the numbers of rows of the source's own splits, and where these were found.

    Args:
        file: The file of the inputs, or of both.
        targets: The file of the targets; None if they are in the same one.
        rows: The inputs, if they stay on disk.

    Raises:
        DataError: If they cannot be read, or do not match.
    """
    values: np.ndarray | RowsFile
    if targets:  # the only array of one file would be both inputs and targets
        answers = read_array(Path(targets), "targets", texts=True)
        values, val_rows, test_rows, taken = rows or read_array(file), 0, 0, ""
    else:
        values, answers, val_rows, test_rows, taken = read_parts(file)
    if (
        len(values.shape) < 2
        or not answers.ndim
        or 0 in values.shape
        or not answers.size
        or len(values) != len(answers)
    ):
        raise DataError(
            f"{file}: inputs have shape {values.shape}, targets {answers.shape}: each row of inputs needs one target"
        )
    return values, answers, val_rows, test_rows, taken


def _classes(
    answers: np.ndarray, missing: np.ndarray, file: Path | str, schema: SchemaLike | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class of each row ``(N,)``, and the names of the classes.

    Raises:
        DataError: If no row has one, or they are not those of a finished run.
    """
    if missing.all():
        raise DataError(f"{file}: no row has a class: with a teacher, -1 means that a row has none")
    labelled = answers[~missing] if missing.any() else answers
    some, classes = as_classes(labelled, file, schema.class_names if schema else None)
    if len(some) == len(answers):
        return some, classes
    known = np.full(len(answers), NO_CLASS, dtype=np.int64)
    known[~missing] = some
    return known, classes


def _where(file: Path, rows: RowsFile | None, keep: Keep, memory: str | None, room: Room | None) -> Choice:
    """Return whether the rows stay on disk; those of a packed file never do.

    Raises:
        ConfigError: If they were to.
    """
    choice = choose(keep, memory, memory_of(rows) if rows else file.stat().st_size, room, len(rows) if rows else 0)
    if choice.disk and not rows:
        if keep == "disk":
            raise ConfigError(f"dataset.keep=disk: {file.name} is packed: store inputs and targets as two .npy files")
        return Choice(disk=False)
    return choice


def _stored(
    rows: RowsFile, targets: np.ndarray, file: Path, answers: Path, cache: Path
) -> tuple[Stored, np.ndarray, tuple[InferredLine, ...], tuple[str, ...]]:
    """Return rows that stay on disk, their targets, what they were taken for, and notes.

    Rows that are sorted by class are shuffled once, because windows of neighbours would have few classes.
    """
    layout, lines = _layout(rows, file)
    stored = stored_in_place(Source([file], file.name, "arrays", cache), rows, layout)
    if targets.dtype != np.int64 or targets.ndim > 1 or not is_sorted_by_class(targets, rows.blocks):
        return stored, targets, lines, ()
    stored, order = _mixed(stored, Source([file, answers], file.name, "mixed", cache))
    note = f"{file.name}: its rows are sorted by class, so they were shuffled once, in {stored.file.path.parent}"
    return stored, targets[order], lines, (note,)


def memory_of(rows: RowsFile) -> int:
    """Return how much memory rows would take: bytes stay bytes, other numbers become float32 [bytes]."""
    images = rows.dtype == np.uint8 and len(rows.shape) > 2
    return rows.nbytes if images else rows.nbytes // rows.dtype.itemsize * 4


def _layout(rows: RowsFile, file: Path) -> tuple[Layout, tuple[InferredLine, ...]]:
    """Return how rows on disk become inputs, and what they were taken for.

    Raises:
        DataError: If no model can read their shape, or images are no bytes.
    """
    shape = rows.shape[1:]
    line = "x".join(map(str, shape))
    if len(shape) == 3:
        if rows.dtype != np.uint8:
            raise DataError(
                f"{file}: images on disk must be bytes (uint8); found {rows.dtype}; store x.astype('uint8')"
            )
        last = shape[0] not in (1, 3) and shape[2] in (1, 3)
        line = "x".join(map(str, (shape[2], *shape[:2]) if last else shape))
        return "channels_last" if last else "rows", (("inputs", f"images of {line}"),)
    if len(shape) == 2 and rows.dtype == np.uint8:
        return "grey", (("inputs", f"grey images of {line} pixels, because they are bytes (uint8) in 3 dimensions"),)
    if len(shape) > 2:
        raise DataError(f"{file}: inputs have shape {rows.shape}; tables have 2 dimensions, sequences 3, images 4")
    if len(shape) == 1:
        return "rows", (("inputs", f"a table of {amount(shape[0], 'column')}"),)
    return "rows", (("inputs", f"sequences of {amount(shape[0], 'step')} with {amount(shape[1], 'number')} each"),)


def _mixed(stored: Stored, source: Source) -> tuple[Stored, np.ndarray]:
    """Return the rows in a random order, which are written once, and the order ``(N,)``."""
    order = np.random.default_rng(0).permutation(len(stored))

    def convert(packer: Packer) -> None:
        writer = packer.writer("inputs", stored.file.shape[1:], stored.file.dtype)
        for rows in reordered(stored.file, order):
            writer.add(rows)
        packer.inputs = writer.close()
        packer.add_targets(order)

    found = packed(source, convert)
    return Stored(found.inputs, stored.layout, root=found.root, finite=stored.finite), found.targets


def _values(answers: np.ndarray, names: Sequence[str], file: Path | str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return targets of a regression ``(N, K)``, and notes on lost digits.

    Raises:
        DataError: If they are texts.
    """
    if answers.dtype.kind == "U":
        raise DataError(
            f"{file}: targets are texts, which only a classification can predict: dataset.task=classification"
        )
    return as_floats(answers.reshape(len(answers), -1), names)
