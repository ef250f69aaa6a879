"""Texts of your own, as token ids."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from trainctl.components.dataset.base import Dataset, Delimiter, PathText, read_target, required
from trainctl.errors import DataError
from trainctl.fileformat import tokens
from trainctl.fileformat.table import Table, is_missing, read_table
from trainctl.fileformat.utf8 import read_text


def text(
    *,
    path: PathText | None,
    text: str | None,
    target: str | None,
    level: Literal["characters", "words"],
    lowercase: bool,
    max_length: Annotated[int, "[1, inf)"],
    max_vocabulary: Annotated[int, "[3, inf)"] | None,
    min_count: Annotated[int, "[1, inf)"],
    delimiter: Delimiter,
    known: Mapping[str, Any] | None,
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
        known: What a finished run knows of its vocabulary and classes. Supplied by ``assemble``.

    Returns:
        Token ids ``(N, T)`` as int64, T the length of the longest text, ``max_length`` at most.

    Raises:
        ConfigError: If ``path``, or for a CSV ``text`` or ``target``, is not given.
        DataError: By file, line and column; an empty text is an error.

    Source: T. Mikolov et al., Efficient estimation of word representations in vector space, 2013 (ids of frequent
    words); none for the rest.
    """
    place = Path(required("path", path, "FILE.csv"))
    column = "text"
    if place.is_dir():
        table, column, target = _folder(place, known), "text", "class"
    else:
        column, target = required("text", text, "COLUMN"), required("target", target, "COLUMN")
        table = read_table(place, delimiter)
    texts = []
    for row, cell in enumerate(table.cells(column)):
        texts.append(tokens.split(cell, level, lowercase=lowercase))
        if not texts[-1] or (is_missing(cell) and not place.is_dir()):
            raise table.error(row, column, "holds no text")
    seen = known if known and known.get("vocabulary") else None
    targets, class_names = read_target(table, target, "classification" if place.is_dir() else "auto", seen)
    length = seen["input_shape"][0] if seen else min(max_length, max(map(len, texts)))
    vocabulary = tuple(seen["vocabulary"]) if seen else tokens.vocabulary(texts, None, 1)
    return Dataset(
        inputs=_encode(texts, vocabulary, length),
        targets=targets,
        task="classification" if class_names else "regression",
        class_names=class_names,
        target_names=(target,),
        vocabulary=vocabulary,
        encoding={"text": column, "level": level, "lowercase": lowercase, "delimiter": delimiter},
        source=place.name,
        lines=None if place.is_dir() else torch.tensor(table.lines),
        learn=None if seen else partial(_learn, most=max_vocabulary, least=min_count),
    )


def _folder(place: Path, known: Mapping[str, Any] | None) -> Table:
    """Read one file for each class as a table of texts and classes."""
    files = sorted(file for file in place.iterdir() if file.suffix == ".txt")
    if len(files) < 2:
        raise DataError(f"{place}: needs a .txt file for each of two classes or more, holds {len(files)}")
    rows: list[list[str]] = []
    lines: list[int] = []
    for file in files:
        if is_missing(file.stem):
            raise DataError(f"{file}: {file.stem} stands for a missing class; give the file another name")
        if known and known.get("vocabulary") and file.stem not in known["class_names"]:
            raise DataError(f"{file}: its name is none of the run's classes ({', '.join(known['class_names'][:20])})")
        found = [(line, row.strip()) for line, row in enumerate(read_text(file).splitlines(), 1) if row.strip()]
        if not found:
            raise DataError(f"{file}: holds no text")
        rows += [[row, file.stem] for _, row in found]
        lines += [line for line, _ in found]
    return Table(place, ["text", "class"], rows, lines)


def _encode(texts: list[list[str]], vocabulary: tuple[str, ...], length: int) -> Tensor:
    known = {token: place for place, token in enumerate(vocabulary)}
    return torch.from_numpy(np.stack([tokens.ids(row, known, length) for row in texts]))


def _learn(dataset: Dataset, train: Tensor, *, most: int | None, least: int) -> Dataset:
    """Keep the tokens that the training rows hold within their length; the others become the unknown token."""
    old = dataset.vocabulary
    present = [[old[token] for token in row if token > 0] for row in dataset.inputs[train].tolist()]
    vocabulary = tokens.vocabulary(present, most, least)
    places = {token: place for place, token in enumerate(vocabulary)}
    renamed = torch.tensor([0, *(places.get(token, 1) for token in old[1:])])
    return replace(dataset, inputs=renamed[dataset.inputs], vocabulary=vocabulary, learn=None)
