"""Read text files as UTF-8, up to a maximum size. Imports no torch."""

import re
from pathlib import Path

from trainctl.errors import DataError, TrainctlError
from trainctl.fileformat.at_most import read_at_most
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import open_regular

LINE_END, LINE_END_BYTES = re.compile(r"\r\n|\r|\n"), re.compile(rb"\r\n|\r|\n")


def read_text(
    path: Path, error: type[TrainctlError] = DataError, what: str = "cannot be read", largest: int | None = None
) -> str:
    """Read a text file as UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        error: The class of the error.
        what: What failed, for the message, e.g. "cannot be read as CSV".
        largest: Maximum size of the file [bytes]; None for no limit.

    Raises:
        TrainctlError: Of that class, if the file cannot be read, is too large, contains a NUL byte or has another
            encoding; names the line.
    """
    with reading(path, error), open_regular(path, error) as file:
        content = file.read() if largest is None else read_at_most(file, largest + 1)
    if largest is not None and len(content) > largest:
        raise error(f"{path}: {what}: larger than {largest:,} bytes")
    return decode(content, path, error, what)


def decode(
    content: bytes, path: Path | str, error: type[TrainctlError] = DataError, what: str = "cannot be read"
) -> str:
    """Decode the bytes of a text file; arguments and errors are those of :func:`read_text`."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise error(f"{path}: {what}: it is UTF-16; save it as UTF-8")
    if (position := content.find(b"\0")) >= 0:
        raise error(f"{path}, line {line_of(content, position)}: {what}: it contains a NUL byte")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        byte = content[failure.start]
        raise error(
            f"{path}, line {line_of(content, failure.start)}: {what}: byte {byte:#04x} is not UTF-8; save the file as UTF-8"
        ) from failure


def lines(text: str) -> list[str]:
    r"""Split a text into lines as editors count them: they end in ``\n``, ``\r\n`` or ``\r``, and in nothing else.

    ``str.splitlines`` also ends them at form feeds, U+0085, U+2028 and others, which occur within lines.

    >>> lines("a\u2028b\r\n\nc\r"), lines("")
    (['a\u2028b', '', 'c'], [])
    """
    found = LINE_END.split(text)
    return found if found[-1] else found[:-1]


def line_of(content: bytes, position: int) -> int:
    """Return the line of a position in a text, from 1."""
    return len(LINE_END_BYTES.findall(content, 0, position)) + 1
