"""JSON records, a list or one per line -> rows of cells, as a CSV file would have them. Imports no torch."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainctl.errors import DataError
from trainctl.fileformat import utf8
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.delimited import Rows
from trainctl.fileformat.limits import check_json

ESCAPED_HALF, HALF = re.compile(r"\\u[dD][89a-fA-F]"), re.compile("[\ud800-\udfff]")
EXPECTED = 'records such as [{"x": 1, "y": "a"}, ...], or one {...} per line'


def read_records(text: str, path: Path) -> Rows:
    """Return records as rows, the names of their fields as the header; a field that a record lacks is empty.

    Args:
        text: A list of objects, an object of equally long lists, or an object per line.
        path: The file, for messages.

    Raises:
        DataError: If it is something else, or a field contains a list or an object; with its line.
    """
    records = _records(text, path)
    header = list(dict.fromkeys(str(key).strip() for _, record in records for key in record))
    rows = [header]
    kinds: dict[str, set[bool]] = {name: set() for name in header}
    for line, record in records:
        plain = {str(key).strip(): value for key, value in record.items()}
        for name, value in plain.items():
            if value is not None:
                kinds[name].add(isinstance(value, int | float) and not isinstance(value, bool))
        rows.append([_cell(plain.get(name), f"{path}, line {line}, field {name}") for name in header])
    if ESCAPED_HALF.search(text):
        _check_characters(rows, [1, *(line for line, _ in records)], path)
    typed = frozenset(name for name, found in kinds.items() if found == {True})
    return Rows(rows, [1, *(line for line, _ in records)], "comma", typed)


def _check_characters(rows: Sequence[Sequence[str]], lines: Sequence[int], path: Path) -> None:
    """Check that all texts consist of characters: JSON can escape one half of a pair alone, which no file can hold.

    Raises:
        DataError: If one does not.
    """
    for cells, line in zip(rows, lines, strict=True):
        for cell in cells:
            if half := HALF.search(cell):
                raise DataError(
                    f"{path}, line {line}: \\u{ord(half[0]):x} is half of a surrogate pair, not a character: remove it,"
                    " or write both halves"
                )


def _records(text: str, path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    """Return each record with its line; of records in a list, the line is the number of the record."""
    lines = [(number, line) for number, line in enumerate(utf8.lines(text), 1) if line.strip()]
    if not lines:
        return []
    if text.lstrip()[0] == "{" and len(lines) > 1 and lines[0][1].rstrip().endswith("}"):
        return [
            (number, _object(_parsed(line, f"{path}, line {number}"), f"{path}, line {number}"))
            for number, line in lines
        ]
    content = _parsed(text, str(path))
    if isinstance(content, dict) and content and all(isinstance(value, list) for value in content.values()):
        if len({len(value) for value in content.values()}) > 1:
            raise DataError(f"{path}: its lists have different lengths; expected {EXPECTED}")
        content = [dict(zip(content, values, strict=True)) for values in zip(*content.values(), strict=True)]
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise DataError(f"{path}: expected {EXPECTED}")
    return [(number, _object(item, f"{path}, record {number}")) for number, item in enumerate(content, 1)]


def _parsed(text: str, where: str) -> Any:
    check_json(text, where)
    with reading(where, what=f"not JSON that can be read; expected {EXPECTED}"):
        return json.loads(text)


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: is not an object; expected {EXPECTED}")
    return value


def _cell(value: object, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Sequence | Mapping):
        raise DataError(f"{where}: contains {'a list' if isinstance(value, list) else 'an object'}; expected one value")
    return repr(value) if isinstance(value, float) else str(value)
