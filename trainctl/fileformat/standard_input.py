"""Read rows from standard input, within limits, and find out what they are. Imports no torch."""

import sys

from trainctl.errors import DataError
from trainctl.fileformat.at_most import read_at_most
from trainctl.fileformat.cells import RECORDS
from trainctl.fileformat.decompress import MOST_BYTES
from trainctl.fileformat.pattern import STANDARD_INPUT
from trainctl.fileformat.waiting import waiting

NAME = "standard input"
FIRST = 65_536  # bytes that contain the first line


def read_all() -> bytes:
    """Return what standard input contains.

    Raises:
        DataError: If it is closed, empty, or larger than 256 MiB.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise DataError(f"{STANDARD_INPUT}: standard input is closed")
    with waiting("reading standard input"):
        try:
            content = read_at_most(sys.stdin.buffer, MOST_BYTES + 1)
        except OSError as error:
            raise DataError(f"{STANDARD_INPUT}: standard input cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise DataError(f"{STANDARD_INPUT}: more than {MOST_BYTES:,} bytes on standard input; write them to a file")
    if not content.strip():
        raise DataError(
            f"{STANDARD_INPUT}: standard input is empty; pipe rows into it: cat rows.csv | trainctl predict RUN -"
        )
    return content


def suffix_of(content: bytes, *, images: bool, text: str | None) -> str:
    r"""Return the suffix that a file with this content would have.

    Args:
        content: The bytes.
        images: Whether the run reads images: what is no text is one then.
        text: The column that contains the texts, where texts are expected; else None.

    >>> suffix_of(b'{"x": 1}', images=False, text=None), suffix_of(b"x,y", images=False, text=None)
    ('.json', '.csv')
    >>> suffix_of(b"good\n", images=False, text="words"), suffix_of(b"n,words\n1,good\n", images=False, text="words")
    ('.txt', '.csv')
    """
    first = content[:FIRST].decode("utf-8", "replace")
    if RECORDS.match(first):
        return ".json"
    if images and _is_binary(content[:FIRST]):
        return ".png"  # whatever image it is: Pillow looks at the content
    if text is None:
        return ".csv"
    line = next(iter(first.splitlines()), "")
    headers = ([cell.strip().strip('"') for cell in line.split(mark)] for mark in ",;\t|")
    return ".csv" if any(text in header for header in headers) else ".txt"


def _is_binary(content: bytes) -> bool:
    try:
        return "\0" in content.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start < len(content) - 4  # a character may be cut at the end
