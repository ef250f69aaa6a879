"""Convert the exceptions of libraries that read a user's file to our errors. Imports no torch."""

import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from trainctl.errors import DataError, TrainctlError, UnavailableError, lacks_memory

LONGEST_REASON = 300  # characters of a library's message; some quote the whole file


class reading:  # noqa: N801 - used as `with reading(path):`
    """Convert any exception that a library raises in this block to an error that names the file.

    For a file that its authors did not expect, a library may raise anything, and something else in its next version;
    so all exceptions are converted. Put only calls to libraries into the block: a bug of ours would be blamed on the
    file. Our own errors and BrokenPipeError pass unchanged; out of memory becomes an :class:`UnavailableError`.

    Args:
        where: The start of the message: the file, or a function that returns file and line and is called on an error.
        error: The class of our error.
        what: What failed, e.g. "cannot be read as CSV".
        explain: Returns the whole message for an exception that it recognises, and None for all others.

    >>> with reading("a.yaml"):
    ...     {}["missing"]
    Traceback (most recent call last):
    trainctl.errors.DataError: a.yaml: cannot be read: KeyError: 'missing'
    """

    __slots__ = ("error", "explain", "what", "where")

    def __init__(
        self,
        where: Path | str | Callable[[], str],
        error: type[TrainctlError] = DataError,
        what: str = "cannot be read",
        explain: Callable[[Exception], str | None] | None = None,
    ) -> None:
        self.where, self.error, self.what, self.explain = where, error, what, explain

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(raised, Exception) or isinstance(raised, TrainctlError | BrokenPipeError):
            return
        where = self.where() if callable(self.where) else self.where
        if message := self.explain(raised) if self.explain else None:
            raise self.error(message) from raised
        if isinstance(raised, MemoryError | OSError | RuntimeError) and lacks_memory(raised):
            raise UnavailableError(f"{where}: out of memory while reading it") from raised
        raise self.error(f"{where}: {self.what}: {reason(raised)}") from raised


ADDRESS = re.compile(r"\s*<[^<>]* at 0x[0-9a-fA-F]+>")
CLASS = re.compile(r"<(?:class|enum) '?([\w.]+)[^<>]*>")


def _plain(text: str, error: BaseException) -> str:
    """Return a message without what means something to Python alone: addresses of objects, classes, tuples of arguments."""
    if len(error.args) > 1 and text == " ".join(repr(error.args).split()):
        text = ": ".join(reason(part) if isinstance(part, BaseException) else str(part) for part in error.args)
    return CLASS.sub(r"\1", ADDRESS.sub("", text)).strip()


def reason(error: BaseException) -> str:
    r"""Return an exception's message in one short line, with its class if the message alone would be unclear.

    >>> reason(ValueError("bad\n  byte")), reason(RecursionError()), reason(KeyError("x"))
    ('bad byte', 'RecursionError', "KeyError: 'x'")
    >>> (
    ...     reason(ValueError("cannot identify image file <_io.BytesIO object at 0x7f3c>")),
    ...     reason(ValueError("a", KeyError("b"))),
    ... )
    ('cannot identify image file', "a: KeyError: 'b'")
    """
    name = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    try:
        text = _plain(" ".join(str(error).split()), error)
    except Exception:  # noqa: BLE001 - str() of a library's exception may itself raise
        text = ""
    text = text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."
    if isinstance(error, LookupError | AttributeError | TypeError | AssertionError) and text:
        return f"{name}: {text}"
    return text or name
