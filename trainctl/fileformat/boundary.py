"""Where a library reads a user's file: whatever it raises becomes one of our errors. Imports no torch."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from trainctl.errors import DataError, TrainctlError, UnavailableError, lacks_memory

LONGEST_REASON = 300  # characters of a library's message; some quote the whole file


class reading:  # noqa: N801 - used as `with reading(path):`
    """Turn any exception that a library raises in this block into an error that names the file.

    A library may raise anything for a file that its authors did not expect, and something else in its next version, so
    no class is listed. Put only calls of libraries into the block: a mistake of ours would look like the file's. Our own
    errors pass unchanged, and so does a pipe that nobody reads any more; a lack of memory becomes an
    :class:`UnavailableError`.

    Args:
        where: What the message begins with: the file, or a function that returns file and line when it is needed.
        error: The class of our error.
        what: What failed, as in "cannot be read as CSV".
        explain: Returns the whole message for an exception that it knows, and None for all others.

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
    r"""Return an exception's message in one short line, with its class where the message alone would be a riddle.

    >>> reason(ValueError("bad\n  byte")), reason(RecursionError()), reason(KeyError("x"))
    ('bad byte', 'RecursionError', "KeyError: 'x'")
    """
    name = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a library's exception whose own text fails
        text = ""
    text = text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."
    if isinstance(error, LookupError | AttributeError | TypeError | AssertionError) and text:
        return f"{name}: {text}"
    return text or name
