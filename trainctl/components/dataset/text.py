"""Texts of your own, as token ids."""

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
from trainctl.fileformat.table import Table, is_missing, read_table, read_text
from trainctl.fileformat.target import read_target


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
    """Return texts as token ids, and a class or a value for each; a model needs an embedding, as ``model=rnn`` has.

    The vocabulary is that of the training split: 0 is padding after a text's end, 1 a token that it does not hold,
    the others stand by falling frequency. Longer texts are cut at their end.

    Args:
        path: A CSV with a header; or a directory with one ``.txt`` file for each class, named after it, a text a line.
        text: The CSV's column of texts.
        target: The CSV's column to predict: texts or few whole numbers are classes, other numbers a regression.
        level: What a token is: ``characters``, or ``words`` and signs.
        lowercase: Whether capitals are made small.
        max_length: Tokens of a text that are read, at most.
        max_vocabulary: How many different tokens are kept, with the two special ones; null: all.
        min_count: How often a token has to come in the training split to be kept.
        delimiter: Between a CSV's cells: ``comma``, ``semicolon``, ``tab`` or ``pipe``.
        schema: That of a finished run: its vocabulary and classes hold, unless it was not trained on texts. Supplied by
            ``assemble``.

    Returns:
        Token ids ``(N, T)`` as int64, T the length of the longest text, ``max_length`` at most.

    Raises:
        ConfigError: If ``path``, or for a CSV ``text`` or ``target``, is not given.
        DataError: By file, line and column; an empty text is an error.

    Source: T. Mikolov et al., Efficient estimation of word representations in vector space, 2013 (ids of frequent
    words); none for the rest.
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
            raise table.error(row, column, "holds no text")
    values, class_names = read_target(
        table, target, trained.task if trained else task, trained.class_names if trained else None
    )
    length = trained.input_shape[0] if trained else min(max_length, max(map(len, texts)))
    vocabulary = trained.vocabulary if trained else tokens.vocabulary(texts, None, 1)
    return Dataset(
        inputs=_encode(texts, vocabulary, length),
        targets=torch.from_numpy(values if class_names else values.astype(np.float32)[:, None]),
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
        raise DataError(f"{folder}: needs a .txt file for each of two classes or more, holds {len(files)}")
    rows: list[list[str]] = []
    lines: list[int] = []
    for file in files:
        if is_missing(file.stem):
            raise DataError(f"{file}: {file.stem} stands for a missing class; give the file another name")
        if trained and file.stem not in trained.class_names:
            raise DataError(f"{file}: its name is not one of the run's classes ({', '.join(trained.class_names[:20])})")
        numbered = [(line, row.strip()) for line, row in enumerate(read_text(file).splitlines(), 1) if row.strip()]
        if not numbered:
            raise DataError(f"{file}: holds no text")
        rows += [[row, file.stem] for _, row in numbered]
        lines += [line for line, _ in numbered]
    return Table(folder, ["text", "class"], rows, lines)


def _encode(texts: list[list[str]], vocabulary: tuple[str, ...], length: int) -> Tensor:
    codes = {token: code for code, token in enumerate(vocabulary)}
    return torch.from_numpy(np.stack([tokens.ids(row, codes, length) for row in texts]))


def _learn(dataset: Dataset, train: Tensor, *, most: int | None, least: int) -> Dataset:
    """Keep the tokens that the training rows hold within their length; the others become the unknown token."""
    old = dataset.vocabulary
    present = [[old[token] for token in row if token > 0] for row in dataset.inputs[train].tolist()]
    vocabulary = tokens.vocabulary(present, most, least)
    codes = {token: code for code, token in enumerate(vocabulary)}
    renamed = torch.tensor([0, *(codes.get(token, 1) for token in old[1:])])
    return replace(dataset, inputs=renamed[dataset.inputs], vocabulary=vocabulary, learn=None)
