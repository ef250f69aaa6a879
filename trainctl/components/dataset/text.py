"""Your own texts, as token ids."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from trainctl.components.dataset.base import (
    Dataset,
    Delimiter,
    Encoding,
    Level,
    PathText,
    SchemaLike,
    required,
)
from trainctl.errors import DataError
from trainctl.fileformat import tokens
from trainctl.fileformat.table import Table, is_missing, read_table
from trainctl.fileformat.target import read_target
from trainctl.fileformat.utf8 import read_text


def text(
    *,
    path: PathText | None,
    text: str | None,
    target: str | None,
    level: Level,
    lowercase: bool,
    max_length: Annotated[int, "[1, inf)"],
    max_vocabulary: Annotated[int, "[3, inf)"] | None,
    min_count: Annotated[int, "[1, inf)"],
    delimiter: Delimiter,
    schema: SchemaLike | None,
) -> Dataset:
    """Return your own texts as token ids, with a class or a value for each text.

    The model needs an embedding, such as that of ``model=rnn``.

    The vocabulary is that of the training split: id 0 is padding after the end of a text, 1 is a token that is not in
    the vocabulary, and the others are in order of decreasing frequency. Texts that are too long are cut off.

    Args:
        path: A CSV file with a header; or a directory with one ``.txt`` file for each class, one text per line.
        text: The CSV's column of texts.
        target: The CSV's column to predict: texts or few distinct whole numbers are classes, other numbers are a
            regression.
        level: Whether tokens are ``characters``, or ``words`` and punctuation.
        lowercase: Whether texts are converted to lower case.
        max_length: Maximum number of tokens that are read from a text.
        max_vocabulary: Maximum number of distinct tokens, including the two special ones; null: no limit.
        min_count: How often a token must occur in the training split to be in the vocabulary.
        delimiter: Separator of a CSV's cells: ``comma``, ``semicolon``, ``tab`` or ``pipe``.
        schema: A finished run's schema, which determines vocabulary and classes if that run was trained on texts.
            Supplied by ``assemble``.

    Returns:
        Token ids ``(N, T)`` as int64; T is the length of the longest text, at most ``max_length``.

    Raises:
        ConfigError: If ``path`` is null, or for a CSV ``text`` or ``target``.
        DataError: If the file is invalid or a text is empty; the message names file, line and column.

    Source: T. Mikolov et al., Efficient estimation of word representations in vector space, 2013 (ids of frequent
    words).
    """
    source = Path(required("path", path, "FILE.csv"))
    trained = schema if schema and schema.vocabulary else None
    if source.is_dir():
        table, column, target, task = _folder(source, trained), "text", "class", "classification"
    else:
        column, target, task = required("text", text, "COLUMN"), required("target", target, "COLUMN"), "auto"
        table = read_table(source, delimiter)
    texts = []
    for row, cell in enumerate(table.cells(column)):
        texts.append(tokens.split(cell, level, lowercase=lowercase))
        if not texts[-1] or (is_missing(cell) and not source.is_dir()):
            raise table.error(row, column, "contains no text")
    values, class_names = read_target(
        table, target, trained.task if trained else task, trained.class_names if trained else None
    )
    length = trained.input_shape[0] if trained else min(max_length, max(map(len, texts)))
    vocabulary = trained.vocabulary if trained else tokens.vocabulary(texts, None, 1)
    return Dataset(
        inputs=_encode(texts, vocabulary, length),
        targets=torch.from_numpy(values if class_names else values[:, None]),
        task="classification" if class_names else "regression",
        class_names=class_names,
        target_names=(target,),
        vocabulary=vocabulary,
        encoding=Encoding(text=column, level=level, lowercase=lowercase, delimiter=delimiter),
        source=source.name,
        lines=None if source.is_dir() else torch.tensor(table.lines),
        learn=None if trained else partial(_learn, most=max_vocabulary, least=min_count),
    )


def _folder(folder: Path, trained: SchemaLike | None) -> Table:
    """Read one file for each class as a table of texts and classes."""
    files = sorted(file for file in folder.iterdir() if file.suffix == ".txt")
    if len(files) < 2:
        raise DataError(f"{folder}: needs at least two classes, each a .txt file; contains {len(files)}")
    rows: list[list[str]] = []
    lines: list[int] = []
    for file in files:
        if is_missing(file.stem):
            raise DataError(f"{file}: {file.stem} means a missing class; rename the file")
        if trained and file.stem not in trained.class_names:
            raise DataError(f"{file}: its name is not one of the run's classes ({', '.join(trained.class_names[:20])})")
        numbered = [(line, row.strip()) for line, row in enumerate(read_text(file).splitlines(), 1) if row.strip()]
        if not numbered:
            raise DataError(f"{file}: contains no text")
        rows += [[row, file.stem] for _, row in numbered]
        lines += [line for line, _ in numbered]
    return Table(folder, ["text", "class"], rows, lines)


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
