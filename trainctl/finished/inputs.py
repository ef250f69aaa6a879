"""Find the files to predict, and read texts as token ids, with what is to be said about them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat import image, table, tokens, utf8
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.walk import describe_others, find

TABLES = frozenset({".csv", ".tsv", ".txt"})  # for a run on texts, a .txt has one text per line, or is one text
ARRAYS = frozenset({".npz", ".npy"})
COMMON = 5  # unknown tokens in a note


@dataclass(frozen=True)
class Inputs:
    """The rows of a file.

    Args:
        rows: In the format of the run's data ``(N, *shape)``.
        lines: Of each row in the file, if they are lines of a text; None otherwise.
        vocabulary: How much of the texts the run knows.
    """

    rows: Tensor
    lines: Sequence[int] | None = None
    vocabulary: "Coverage | None" = None


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
                f"{count:,} of {self.tokens:,} tokens ({count / self.tokens:.1%}) are not in the run's vocabulary, such as"
                f" {shown}"
            )
        if self.cut:
            notes.append(f"{self.cut:,} of {self.texts:,} texts are cut after {length} tokens, as in training")
        return notes


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
            searched = [find(path, suffixes) for suffixes in choices]
        found = next((result for result in searched if result.files), searched[0])
        if not found.files:
            others = f"; contains {describe_others(found.others)}" if found.others else ""
            raise DataError(f"{path}: contains no {what} for this run{others}")
        files += found.files
        if found.others:
            notes.append(f"{path}: not used, because this run reads {what}: {describe_others(found.others)}")
        notes += [
            f"{irregular}: not used, because it is a broken link or no regular file" for irregular in found.irregular
        ]
    return files, notes


def _suffixes(schema: Schema) -> tuple[str, list[frozenset[str] | None]]:
    """Return what a run reads from a directory, in words and as suffixes; the later ones if there are none of the first."""
    if schema.vocabulary:
        every: list[frozenset[str] | None] = [None] if schema.encoding.whole_files else []
        return "texts", [frozenset({".txt"}), frozenset({".csv", ".tsv"}), *every]
    if len(schema.input_shape) == 3 and schema.input_shape[0] in (1, 3):
        return "images", [image.suffixes(), ARRAYS]
    return "tables", [frozenset({".csv", ".tsv"}), frozenset({".txt"}), ARRAYS]


def batches(
    parts: Iterable[tuple[Sequence[list[object]], Tensor]], size: int
) -> Iterator[tuple[list[list[object]], Tensor]]:
    """Yield rows and what identifies each, ``size`` at a time, whichever file they come from."""
    labels: list[list[object]] = []
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


def read_texts(source: Path, schema: Schema) -> Inputs:
    """Read texts as token ids ``(N, T)``: from a column of a CSV, or a .txt, by lines or as one text.

    Raises:
        DataError: If the file or a row has no text, or the run was trained on token ids instead of texts.
    """
    encoding, column, level = schema.encoding, schema.encoding.text, schema.encoding.level
    if column is None or level is None:
        raise DataError(f"{source}: this run was trained on token ids, not on texts; pass token ids as an .npy")
    lines: list[int] | None = None
    normalize = encoding.normalize or "legacy"
    if source.suffix.lower() in (".csv", ".tsv"):
        cells = table.read_table(source, encoding.delimiter or "comma")
        texts = cells.cells(column)
    elif encoding.whole_files:
        texts = [utf8.read_text(source).strip()]
    else:
        split_lines = str.splitlines if normalize == "legacy" else utf8.lines
        numbered = [
            (number, line) for number, line in enumerate(split_lines(utf8.read_text(source)), 1) if line.strip()
        ]
        lines, texts = [number for number, _ in numbered], [line for _, line in numbered]
    if not any(texts):
        raise DataError(f"{source}: contains no text")
    words = [tokens.split(text, level, lowercase=bool(encoding.lowercase), normalize=normalize) for text in texts]
    if gaps := [row for row, found in enumerate(words) if not found]:
        raise cells.error(gaps[0], column, "has no text")
    length = schema.input_shape[0]
    codes = {token: code for code, token in enumerate(schema.vocabulary)}
    coverage = Coverage(
        len(words), sum(len(found[:length]) for found in words), sum(len(found) > length for found in words)
    )
    coverage.unknown.update(token for found in words for token in found[:length] if token not in codes)
    rows = torch.from_numpy(np.stack([tokens.ids(found, codes, length) for found in words]))
    return Inputs(rows, lines, coverage)
