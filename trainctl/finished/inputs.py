"""Find the files to predict, and what identifies each of their rows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat import image
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.decompress import ending
from trainctl.fileformat.walk import Found, describe_others, find
from trainctl.wording import agree, amount

TABLES = frozenset({".csv", ".tsv", ".txt"})  # for a run on texts, a .txt has one text per line, or is one text
ARRAYS = frozenset({".npz", ".npy"})
DELIMITED = frozenset({".csv", ".tsv"})  # also packed: a.csv.gz
Label = dict[str, object]  # what identifies a row: the cells before its prediction, by the names of their columns
# Which columns are copied to the predictions: those whose names say that they identify a row, what the run reads, or all.
Keep = Literal["none", "ids", "inputs", "all"]
COPYING: tuple[Keep, ...] = ("inputs", "all")  # also what has no header: values, texts, names of images
COMMON = 5  # unknown tokens in a note


@dataclass
class Coverage:
    """How much of some texts a run can read.

    Args:
        texts: How many there are.
        tokens: How many tokens they have, up to the run's length.
        cut: How many texts are longer than that.
        unknown: How often each token occurs that is not in the vocabulary.
    """

    texts: int = 0
    tokens: int = 0
    cut: int = 0
    unknown: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: "Coverage") -> "Coverage":
        self.texts += other.texts
        self.tokens += other.tokens
        self.cut += other.cut
        self.unknown.update(other.unknown)
        return self

    def notes(self, length: int) -> list[str]:
        """Return what is unknown and what is cut, a line each."""
        notes = []
        if count := self.unknown.total():
            shown = ", ".join(repr(token[:40]) for token, _ in self.unknown.most_common(COMMON))
            notes.append(
                f"{count:,} of {amount(self.tokens, 'token')} ({count / self.tokens:.1%})"
                f" {agree(count, 'is', 'are')} not in the run's vocabulary, such as"
                f" {shown}"
            )
        if self.cut:
            notes.append(
                f"{self.cut:,} of {amount(self.texts, 'text')} {agree(self.cut, 'is', 'are')}"
                f" cut after {amount(length, 'token')}, as in training"
            )
        return notes


@dataclass(frozen=True)
class Inputs:
    """The rows of a file, as a run reads them.

    Args:
        rows: ``(N, *shape)``.
        names: Of the columns that identify rows.
        cells: Of these columns, for each row.
        notes: What is odd about the file, a line each.
        numbers: Of the rows in the file, from 0; None if they are all of them.
        coverage: How much of its texts the run can read.
    """

    rows: Tensor
    names: tuple[str, ...] = ()
    cells: Sequence[Sequence[object]] = ()
    notes: tuple[str, ...] = ()
    numbers: Sequence[int] | None = None
    coverage: Coverage = field(default_factory=Coverage)


def expand(given: Sequence[Path], schema: Schema) -> tuple[list[Path], list[str]]:
    """Return the files to read: those that were given, and in directories all that the run can read.

    Returns:
        The files, and what was not used, a line each.

    Raises:
        DataError: If a directory contains none.
    """
    files: list[Path] = []
    notes: list[str] = []
    for path in given:
        if not path.is_dir():
            files.append(path)
            continue
        what, choices = _suffixes(schema)
        with reading(path):
            searched = [_find(path, suffixes) for suffixes in choices]
        found = next((result for result in searched if result.files), searched[0])
        if not found.files:
            others = f"; contains {describe_others(found.others)}" if found.others else ""
            raise DataError(f"{path}: contains no {what} for this run{others}")
        files += found.files
        if found.others:
            notes.append(f"{path}: not used, because this run reads {what}: {describe_others(found.others)}")
        notes += [
            f"{irregular}: not used, because it is a broken link or not a regular file" for irregular in found.irregular
        ]
    return files, notes


def _find(folder: Path, suffixes: frozenset[str] | None) -> Found:
    return find(folder, suffixes, suffix_of=ending) if suffixes == DELIMITED else find(folder, suffixes)


def _suffixes(schema: Schema) -> tuple[str, list[frozenset[str] | None]]:
    """Return what a run reads from a directory, in words and as suffixes; the later ones if there are none of the first."""
    if schema.vocabulary:
        every: list[frozenset[str] | None] = [None] if schema.encoding.whole_files else []
        return "texts", [frozenset({".txt"}), DELIMITED, *every]
    if len(schema.input_shape) == 3 and schema.input_shape[0] in (1, 3):
        return "images", [image.suffixes(), ARRAYS]
    return "tables", [DELIMITED, frozenset({".txt"}), ARRAYS]


def batches(parts: Iterable[tuple[Sequence[Label], Tensor]], size: int) -> Iterator[tuple[list[Label], Tensor]]:
    """Yield rows and what identifies each, ``size`` at a time, whichever file they come from."""
    labels: list[Label] = []
    rows: list[Tensor] = []
    for new_labels, new_rows in parts:
        labels += new_labels
        rows.append(new_rows)
        if len(labels) < size:
            continue
        whole = torch.cat(rows)
        full = len(whole) - len(whole) % size
        for start in range(0, full, size):
            yield labels[start : start + size], whole[start : start + size]
        labels, rows = labels[full:], [whole[full:]]
    if labels:
        yield labels, torch.cat(rows)
