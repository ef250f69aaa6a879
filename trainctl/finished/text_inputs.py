"""Read texts as inputs of a finished run, and count what the run cannot read of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat import table, tokens, utf8
from trainctl.fileformat.cells import JSON
from trainctl.fileformat.documents import read_document
from trainctl.fileformat.unpacked import ending
from trainctl.finished.inputs import Coverage, Inputs

SHOWN = 5  # lines in a note


def read_text_inputs(source: Path, schema: Schema, form: table.TableFormat, ids: Sequence[str] = ()) -> Inputs:
    """Read texts as token ids ``(N, T)``: from a column of a table, or a .txt, by lines or as one text.

    Empty texts are left out.

    Args:
        source: The file.
        schema: Of the run's data.
        form: How the file is written.
        ids: Columns that identify the rows of a table.

    Raises:
        DataError: If the file has no text, or the run was trained on token ids instead of texts.
    """
    encoding, column, level = schema.encoding, schema.encoding.text, schema.encoding.level
    if column is None or level is None:
        raise DataError(f"{source}: this run was trained on token ids, not on texts; pass token ids as an .npy")
    normalize = encoding.normalize or "legacy"
    if ending(source) in (".csv", ".tsv", *JSON):
        texts, lines, names, cells = _of_table(source, column, form, ids)
    else:
        whole = read_document(source, form.encoding)
        split_lines = str.splitlines if normalize == "legacy" else utf8.lines
        texts = [whole] if encoding.whole_files else split_lines(whole)
        lines = list(range(1, len(texts) + 1))
        names, cells = () if encoding.whole_files else ("line",), [[line] for line in lines]
    words = [
        tokens.split(text.strip(), level, lowercase=bool(encoding.lowercase), normalize=normalize) for text in texts
    ]
    kept = [row for row, found in enumerate(words) if found]
    if not kept:
        raise DataError(f"{source}: contains no text")
    rows, coverage = _encoded([words[row] for row in kept], schema)
    numbered = names == ("line",)  # lines without a text are no rows
    return Inputs(
        rows=rows,
        names=names,
        cells=[cells[row] for row in kept] if names else (),
        notes=() if numbered else _empty_note(source, [lines[row] for row, found in enumerate(words) if not found]),
        numbers=None if numbered else kept,
        coverage=coverage,
    )


def _of_table(
    source: Path, column: str, form: table.TableFormat, ids: Sequence[str]
) -> tuple[list[str], list[int], tuple[str, ...], list[list[object]]]:
    """Return the texts of a table, their lines, and the columns that identify them."""
    cells = table.read_table(source, form)
    identified = [list(row) for row in zip(*(cells.cells(name) for name in ids), strict=True)]
    return cells.cells(column), cells.lines, tuple(ids), identified


def _encoded(words: Sequence[Sequence[str]], schema: Schema) -> tuple[torch.Tensor, Coverage]:
    """Return texts as token ids, and how much of them is known."""
    length, codes = schema.input_shape[0], {token: code for code, token in enumerate(schema.vocabulary)}
    coverage = Coverage(texts=len(words))
    for found in words:
        coverage.tokens += len(found[:length])
        coverage.cut += len(found) > length
        coverage.unknown.update(token for token in found[:length] if token not in codes)
    return torch.from_numpy(np.stack([tokens.ids(found, codes, length) for found in words])), coverage


def _empty_note(source: Path, lines: Sequence[int]) -> tuple[str, ...]:
    if not lines:
        return ()
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    shown = ", ".join(map(str, lines[:SHOWN]))
    return (f"{source}: {len(lines)} rows have no text and are not predicted (lines {shown}{more})",)
