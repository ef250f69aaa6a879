"""Read texts as inputs of a finished run, and count what the run cannot read of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat import table, tokens, utf8
from trainctl.fileformat.cells import JSON
from trainctl.fileformat.charset import decode
from trainctl.fileformat.decompress import ending
from trainctl.fileformat.documents import read_document
from trainctl.finished.inputs import COPYING, Coverage, Inputs, Keep
from trainctl.finished.table_inputs import kept_columns
from trainctl.wording import agree, amount

SHOWN = 5  # lines in a note


def read_text_inputs(
    source: Path,
    schema: Schema,
    form: table.TableFormat,
    ids: Sequence[str] = (),
    *,
    keep: Keep = "none",
    content: bytes | None = None,
    suffix: str | None = None,
) -> Inputs:
    """Read texts as token ids ``(N, T)``: from a column of a table, or a .txt, by lines or as one text.

    Empty texts are left out.

    Args:
        source: The file.
        schema: Of the run's data.
        form: How the file is written.
        ids: Columns that identify the rows of a table.
        keep: Which further columns are kept with the rows.
        content: What is read instead of the file.
        suffix: What says whether it is a table; by default that of the file.

    Raises:
        DataError: If the file has no text, or the run was trained on token ids instead of texts.
    """
    encoding = schema.encoding
    column = text_column(schema, source)
    if (suffix or ending(source)) in (".csv", ".tsv", *JSON):
        numbered = False
        texts, lines, names, cells = _of_table(
            table.read_table(source, form, content), column, ids, keep, schema.target_names
        )
    else:
        numbered = not encoding.whole_files  # lines without a text are no rows
        whole = read_document(source, form.encoding) if content is None else decode(content, source, form.encoding)
        split_lines = str.splitlines if (encoding.normalize or "legacy") == "legacy" else utf8.lines
        texts = [whole] if encoding.whole_files else split_lines(whole)
        lines = list(range(1, len(texts) + 1))
        names = () if encoding.whole_files else ("line",)
        cells = [[] if encoding.whole_files else [line] for line in lines]
        if keep in COPYING:
            names, cells = (*names, column), [[*row, text.strip()] for row, text in zip(cells, texts, strict=True)]
    words = split_texts(texts, schema)
    kept = [row for row, found in enumerate(words) if found]
    if not kept:
        raise DataError(f"{source}: contains no text")
    rows, coverage = encoded([words[row] for row in kept], schema)
    return Inputs(
        rows=rows,
        names=names,
        cells=[cells[row] for row in kept] if names else (),
        notes=() if numbered else _empty_note(source, [lines[row] for row, found in enumerate(words) if not found]),
        numbers=None if numbered else kept,
        coverage=coverage,
    )


def text_column(schema: Schema, source: object) -> str:
    """Return the column that contains the texts of a run.

    Raises:
        DataError: If the run was trained on token ids instead of texts.
    """
    if schema.encoding.text is None or schema.encoding.level is None:
        raise DataError(f"{source}: this run was trained on token ids, not on texts; pass token ids as an .npy")
    return schema.encoding.text


def split_texts(texts: Sequence[str], schema: Schema) -> list[list[str]]:
    """Return the tokens of each text; none of one that is empty."""
    encoding = schema.encoding
    assert encoding.level
    lowercase, normalize = bool(encoding.lowercase), encoding.normalize or "legacy"
    return [tokens.split(text.strip(), encoding.level, lowercase=lowercase, normalize=normalize) for text in texts]


def _of_table(
    cells: table.Table, column: str, ids: Sequence[str], keep: Keep, targets: Sequence[str]
) -> tuple[list[str], list[int], tuple[str, ...], list[list[object]]]:
    """Return the texts of a table, their lines, and the columns that are kept with them."""
    names = kept_columns(cells.header, [column], ids, keep, targets)
    identified = [list(row) for row in zip(*(cells.cells(name) for name in names), strict=True)]
    return cells.cells(column), cells.lines, tuple(names), identified


def encoded(words: Sequence[Sequence[str]], schema: Schema) -> tuple[torch.Tensor, Coverage]:
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
    told = (
        f"{amount(len(lines), 'row')} {agree(len(lines), 'has no text and is', 'have no text and are')} not predicted"
    )
    return (f"{source}: {told} (lines {shown}{more})",)
