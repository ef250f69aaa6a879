"""Convert the exceptions of libraries that read a user's file to our errors. Imports no torch."""

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
        explain: Returns the whole message for an exception that it recognizes, and None for all others.

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


def reason(error: BaseException) -> str:
    r"""Return an exception's message in one short line, with its class if the message alone would be unclear.

    >>> reason(ValueError("bad\n  byte")), reason(RecursionError()), reason(KeyError("x"))
    ('bad byte', 'RecursionError', "KeyError: 'x'")
    """
    name = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - str() of a library's exception may itself raise
        text = ""
    text = text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."
    if isinstance(error, LookupError | AttributeError | TypeError | AssertionError) and text:
        return f"{name}: {text}"
    return text or name
