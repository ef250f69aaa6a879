"""Your own texts, as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from trainctl.components.dataset.base import (
    Charset,
    Damaged,
    Dataset,
    Delimiter,
    Encoding,
    Level,
    Normalize,
    PathText,
    SchemaLike,
    SplitFolders,
    Task,
)
from trainctl.fileformat import tokens, utf8
from trainctl.fileformat.class_folders import NO_NAME
from trainctl.fileformat.damage import Damage
from trainctl.fileformat.documents import Documents, read_documents
from trainctl.fileformat.label import Guessed
from trainctl.fileformat.place import required
from trainctl.fileformat.table import Table, TableFormat, read_table
from trainctl.fileformat.target import NO_CLASS, classes, read_target, reason_of
from trainctl.wording import agree, amount

NOT_GUESSED = Guessed("")


@dataclass(frozen=True)
class Source:
    """Texts and what belongs to each, before they become tokens.

    Args:
        texts: The tokens of each text.
        lines: Where each is in the file.
        column: Of the texts.
        target: Of the classes or values.
        values: The class or value of each.
        class_names: Empty for a regression.
        val: How many rows are for validation.
        test: How many rows are for test, at the end.
        whole_files: Whether each file is one text.
        delimiter: Of the cells of a table.
        guessed: Why the task is what it is, if it was not said.
        layout: How they are stored, for the block at the start.
        notes: A line each.
    """

    texts: list[list[str]]
    lines: Tensor | None
    column: str
    target: str
    values: np.ndarray
    class_names: tuple[str, ...]
    val: int = 0
    test: int = 0
    whole_files: bool | None = None
    delimiter: Delimiter | None = None
    guessed: Guessed = NOT_GUESSED
    layout: str = ""
    notes: tuple[str, ...] = ()


def text(
    *,
    path: PathText | None,
    text: str | None,
    target: str | None,
    task: Literal["auto", "classification", "regression"],
    level: Level,
    lowercase: bool,
    normalize: Normalize,
    max_length: Annotated[int, "[1, inf)"],
    max_vocabulary: Annotated[int, "[3, inf)"] | None,
    min_count: Annotated[int, "[1, inf)"],
    delimiter: Delimiter,
    encoding: Charset,
    splits: SplitFolders,
    drop: list[str],
    damaged: Damaged,
    schema: SchemaLike | None,
    unlabeled: bool = False,
) -> Dataset:
    """Return your own texts as token ids, with a class or a value for each text.

    The model needs an embedding, such as that of ``model=rnn``.

    A directory has one of two layouts. Either each class is a ``.txt`` file with one text per line; lines end as in an
    editor, and empty ones are skipped. Or each class is a folder, and each ``.txt`` file in it and below it is a text (any
    file, if there are no ``.txt`` files); ``train``, ``val`` and ``test`` may be above the folders of the classes.

    The vocabulary is that of the training split: id 0 is padding after the end of a text, 1 is a token that is not in
    the vocabulary, and the others are in order of decreasing frequency. Texts that are too long are cut off, which is
    reported. A word includes its combining marks, as in Hindi, and an emoji what is joined to it.

    Args:
        path: A CSV file with a header; or a directory of texts.
        text: The CSV's column of texts.
        target: The CSV's column to predict.
        task: ``auto``: texts or few distinct whole numbers are classes, other numbers are a regression.
        level: Whether tokens are ``characters``, or ``words`` and punctuation.
        lowercase: Whether texts are converted to lower case.
        normalize: Unicode normalization: ``nfc`` composes letters and accents, so that the same word is always the same
            token; ``nfkc`` also replaces variants such as full-width letters and ligatures; ``none``. ``legacy`` is what
            the first version did: no normalization, and a mark that is not composed is a token of its own.
        max_length: Maximum number of tokens that are read from a text.
        max_vocabulary: Maximum number of distinct tokens, including the two special ones; null: no limit.
        min_count: How often a token must occur in the training split to be in the vocabulary.
        delimiter: Separator of a CSV's cells: ``comma``, ``semicolon``, ``tab`` or ``pipe``; ``auto``: found out.
        encoding: Of the characters; ``auto``: what the byte order mark says, or UTF-8.
        splits: Whether folders called ``train``, ``val`` and ``test`` are splits: see ``dataset=image_folder``.
        drop: Names of folders that are neither classes nor splits.
        damaged: ``error``: texts that are empty and files that cannot be read are listed, and the run does not start;
            ``skip``: it starts without them, with a note.
        schema: A finished run's schema, which determines vocabulary and classes if that run was trained on texts.
            Supplied by ``assemble``.
        unlabeled: Whether texts of a folder or file called ``unlabeled`` are training rows without a class; if not, that
            is a class. Supplied by ``assemble``: true with a teacher.

    Returns:
        Token ids ``(N, T)`` as int64; T is the length of the longest text, at most ``max_length``.

    Raises:
        ConfigError: If ``path`` is null, or for a CSV ``text`` or ``target``.
        DataError: If the file is invalid or a text is empty; the message names file, line and column.

    Source: T. Mikolov et al., Efficient estimation of word representations in vector space, 2013 (ids of frequent
    words).
    """
    file = Path(required("path", path, "FILE.csv"))
    trained = schema if schema and schema.vocabulary else None
    split = partial(tokens.split, level=level, lowercase=lowercase, normalize=normalize)
    if file.is_dir():
        class_names = trained.class_names if trained else None
        lines = str.splitlines if normalize == "legacy" else utf8.lines
        found = read_documents(
            file, lines, splits=splits, drop=drop, damaged=damaged, encoding=encoding, class_names=class_names,
            unlabeled=unlabeled,
        )  # fmt: skip
        source = _from_directory(found, class_names, split)
    else:
        column, target = required("text", text, "COLUMN"), required("target", target, "COLUMN")
        wanted: Task | Literal["auto"] = trained.task if trained else task
        form = TableFormat(delimiter=delimiter, encoding=encoding)
        source = _from_table(read_table(file, form), column, target, wanted, trained, damaged, split)
    longest = max(map(len, source.texts))
    length = trained.input_shape[0] if trained else min(max_length, longest)
    vocabulary = trained.vocabulary if trained else tokens.vocabulary(source.texts, None, 1)
    values = source.values
    return Dataset(
        inputs=_encode(source.texts, vocabulary, length),
        targets=torch.from_numpy(values if source.class_names else values[:, None]),
        task="classification" if source.class_names else "regression",
        class_names=source.class_names,
        target_names=(source.target,),
        test_rows=source.test,
        val_rows=source.val,
        vocabulary=vocabulary,
        encoding=Encoding(
            text=source.column,
            level=level,
            lowercase=lowercase,
            normalize=normalize,
            whole_files=source.whole_files,
            delimiter=source.delimiter,
        ),
        source=file.name,
        lines=source.lines,
        learn=None if trained else partial(_learn, most=max_vocabulary, least=min_count),
        notes=(*source.notes, *_note_on_length(source.texts, length)),
        inferred=(("texts", _described(source, level, length)),),
        task_reason=source.guessed.reason,
        other_task=source.guessed.other,
    )


def _from_directory(found: Documents, class_names: tuple[str, ...] | None, split: "partial[list[str]]") -> Source:
    """Return the texts of a directory; classes are names of files or folders, whatever they are."""
    of_rows = found.table.cells("class")
    known = [name for name in of_rows if name != NO_NAME]
    names = class_names or (tuple(sorted(set(known))) if found.whole_files else classes(known))
    return Source(
        texts=[split(cell) for cell in found.table.cells("text")],
        lines=None,
        column="text",
        target="class",
        values=np.array([names.index(name) if name != NO_NAME else NO_CLASS for name in of_rows], dtype=np.int64),
        class_names=names,
        val=found.val,
        test=found.test,
        whole_files=found.whole_files,
        layout=found.layout,
        notes=found.notes,
    )


def _from_table(
    table: Table,
    column: str,
    target: str,
    task: Task | Literal["auto"],
    trained: SchemaLike | None,
    damaged: str,
    split: "partial[list[str]]",
) -> Source:
    """Return the texts of a table, without the empty ones if damaged inputs are skipped."""
    texts, kept = [], []
    damage = Damage(str(table.path), "texts", damaged)
    for row, cell in enumerate(table.cells(column)):
        with damage.counted():
            if not (words := split(cell)):
                raise table.error(row, column, "contains no text")
            texts.append(words)
            kept.append(row)
    damage.check(len(table.rows))
    if len(kept) < len(table.rows):
        table = replace(table, rows=[table.rows[row] for row in kept], lines=[table.lines[row] for row in kept])
    values, class_names = read_target(table, target, task, trained.class_names if trained else None)
    return Source(
        texts=texts,
        lines=torch.tensor(table.lines),
        column=column,
        target=target,
        values=values,
        class_names=class_names,
        delimiter=table.form.delimiter,  # type: ignore[arg-type]
        guessed=reason_of(table, [target], task),
        layout=f"column {column}",
        notes=damage.notes,
    )


def _note_on_length(texts: Sequence[Sequence[str]], length: int) -> list[str]:
    cut = [len(text) for text in texts if len(text) > length]
    key = "dataset.max_length"
    note = (
        f"{len(cut):,} of {amount(len(texts), 'text')} {agree(len(cut), 'is', 'are')}"
        f" cut after {amount(length, 'token')} ({key}); the longest has"
    )
    return [f"{note} {max(cut):,}"] if cut else []


def _described(source: Source, level: str, length: int) -> str:
    """Return how many texts there are and how long they are."""
    lengths = sorted(map(len, source.texts))
    return (
        f"{len(lengths):,} from {source.layout}; {lengths[0]:,} to {lengths[-1]:,} {level}, half of them at most"
        f" {median(lengths):,.0f}; rows of {length} (dataset.max_length, dataset.level)"
    )


def _encode(texts: list[list[str]], vocabulary: tuple[str, ...], length: int) -> Tensor:
    codes = {token: code for code, token in enumerate(vocabulary)}
    return torch.from_numpy(np.stack([tokens.ids(row, codes, length) for row in texts]))


def _learn(dataset: Dataset, train: Tensor, *, most: int | None, least: int) -> Dataset:
    """Keep the tokens that occur in the training rows; all others become the unknown token."""
    old = dataset.vocabulary
    present = [[old[token] for token in row if token > 0] for row in dataset.inputs[train].tolist()]
    vocabulary = tokens.vocabulary(present, most, least)
    codes = {token: code for code, token in enumerate(vocabulary)}
    renamed = torch.tensor([0, *(codes.get(token, 1) for token in old[1:])])
    return replace(dataset, inputs=renamed[dataset.inputs], vocabulary=vocabulary, learn=None)
