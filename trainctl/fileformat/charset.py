"""The bytes of a text file -> its characters. Imports no torch."""

import codecs
from pathlib import Path

from trainctl.errors import DataError
from trainctl.fileformat.utf8 import LINE_END, line_of

ENCODINGS = (
    "auto", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "cp1250", "cp1251", "cp437", "cp850",
    "mac-roman", "shift-jis", "euc-jp", "gb18030", "big5", "euc-kr",
)  # fmt: skip
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before that of UTF-16, with which it starts
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(content: bytes, path: Path, encoding: str = "auto", what: str = "cannot be read as CSV") -> str:
    """Return the characters of a file.

    Args:
        content: Its bytes.
        path: The file, for messages.
        encoding: One of ``ENCODINGS``; ``auto``: what its byte order mark says, or else UTF-8.
        what: What the message says.

    Raises:
        DataError: If it is in another encoding, or contains a NUL; with the line, and the setting that helps.
    """
    name = encoding_of(content, path, encoding, what)
    try:
        text = content.decode(name)
    except UnicodeDecodeError as error:
        line, byte = line_of(content, error.start), content[error.start]
        if name == "utf-8":
            raise DataError(
                f"{path}, line {line}: {what}: byte {byte:#04x} is not UTF-8; save the file as UTF-8, or name its"
                " encoding, e.g. dataset.encoding=cp1252 (Western Europe, Windows)"
            ) from error
        raise DataError(f"{path}, line {line}: {what}: byte {byte:#04x} is not {name}") from error
    text = text.removeprefix("\ufeff")
    if (position := text.find("\0")) >= 0:
        raise DataError(f"{path}, line {len(LINE_END.findall(text, 0, position)) + 1}: {what}: it contains a NUL byte")
    return text


def encoding_of(content: bytes, path: Path, encoding: str, what: str = "cannot be read as CSV") -> str:
    """Return Python's name for the encoding of a file, by its first bytes.

    Raises:
        DataError: If it seems to be UTF-16, and nothing says so.
    """
    name = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    if encoding not in ("auto", "utf-8"):
        name = encoding
    if name == "utf-8" and _every_other_is_zero(content):
        order = "utf-16-be" if content[0] == 0 else "utf-16-le"
        raise DataError(f"{path}: {what}: it seems to be UTF-16; set dataset.encoding={order}, or save it as UTF-8")
    return name


def _every_other_is_zero(content: bytes) -> bool:
    head = content[:200]
    return len(head) >= 8 and (not any(head[1::2]) or not any(head[::2])) and any(head)
