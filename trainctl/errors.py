"""The errors that a user can cause, each with the exit code of the command.

::

    TrainctlError            1   the base class; never raised itself
    ├── ConfigError          2   an invalid option, value or combination
    ├── DataError            3   a data set that is missing, damaged or unsuitable
    ├── CheckpointError      4   a run or checkpoint that is missing, damaged or belongs to something else
    ├── StorageError         5   a file or directory that cannot be written
    ├── NonFiniteError       6   a loss, gradient or weight that is not finite
    ├── UnavailableError     7   a device, memory or an optional package that is missing
    │   └── ProcessError         another process of the run that failed, with the code of that process
    ├── SweepError           8   a sweep with failed trials
    ├── ToleranceError       9   a result that differs by more than is tolerated
    ├── Interrupted        130   Ctrl-C; the run was saved
    └── Terminated         143   SIGTERM or SIGHUP; the run was saved

Any other exception that escapes is an internal error: exit code 1, with a traceback.
"""

import re
from collections.abc import Sequence
from typing import Any

# What every exit code of the command means; the only list, from which the help is made.
EXIT_CODES = {
    0: "done", 1: "internal error", 2: "configuration", 3: "data", 4: "checkpoint or run", 5: "storage",
    6: "loss not finite", 7: "device, memory or package missing", 8: "failed trials", 9: "tolerance exceeded",
    130: "Ctrl-C", 143: "SIGTERM",
}  # fmt: skip


class TrainctlError(Exception):
    r"""The base class of all errors whose message is for the user; it is printed without a traceback.

    Args:
        lines: One for each thing that is wrong; what occurs twice is said once. A line break inside a line comes from a name
            or a value, which may contain any character; it is written as ``\\n``, so that the rest of the name is not taken
            for a message.

    >>> print(TrainctlError("a\nb: no such file", "c: no such file", "c: no such file"))
    a\nb: no such file
    c: no such file
    """

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__(*dict.fromkeys(line.replace("\n", "\\n") for line in lines))

    def __str__(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message."""
        return tuple(map(str, self.args))

    def within(self, before: str, after: str = "") -> tuple[str, ...]:
        """Return the lines of an error that says more about this one, which may have several.

        >>> print(TrainctlError(*TrainctlError("a", "b").within("x.yaml: ")))
        x.yaml: a
        x.yaml: b
        """
        return tuple(f"{before}{line}{after}" for line in self.lines)


class ConfigError(TrainctlError):
    """The command asks for something that does not exist or does not make sense, or its output already exists."""

    exit_code = 2


class DataError(TrainctlError):
    """A data set is missing, damaged, or not suitable for what is to be done with it."""

    exit_code = 3


class CheckpointError(TrainctlError):
    """A run or checkpoint is missing, damaged, or belongs to another model, optimizer or data set."""

    exit_code = 4


class StorageError(TrainctlError):
    """A file or directory cannot be written: the disk is full, a permission is missing, a directory is gone."""

    exit_code = 5


class NonFiniteError(TrainctlError):
    """The loss, a gradient or a weight became infinite or NaN, or the monitored metric was never finite.

    Args:
        message: For the user.
        loss: The loss of the step that caused it, if known.
        gradients: The gradients of that step, in the optimizer's order.
    """

    exit_code = 6

    def __init__(self, message: str, loss: float | None = None, gradients: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.loss, self.gradients = loss, gradients


class UnavailableError(TrainctlError):
    """The machine lacks what the run needs: a device, memory, or an optional package."""

    exit_code = 7


class SweepError(TrainctlError):
    """At least one trial of a sweep failed."""

    exit_code = 8


class ToleranceError(TrainctlError):
    """A result differs from the original run by more than the tolerance. An export is discarded; a new run is kept."""

    exit_code = 9


class ProcessError(UnavailableError):
    """Another process of the run failed or is gone; the weights are still those after the last step.

    Args:
        message: For the user.
        exit_code: That of the process that failed.
        known: Whether the process said what failed; if not, it is gone.
    """

    exit_code = 7

    def __init__(self, message: str, exit_code: int = 7, *, known: bool = True) -> None:
        super().__init__(message)
        self.exit_code, self.known = exit_code, known


class Interrupted(TrainctlError):
    """The user pressed Ctrl-C, or the run reached a planned stop; it was saved and can be resumed."""

    exit_code = 130

    def __init__(self, message: str, *, planned: bool = False) -> None:
        super().__init__(message)
        self.planned = planned


class Terminated(TrainctlError):
    """The system asked the run to stop; the run was saved and can be resumed."""

    exit_code = 143


def exit_called(error: SystemExit) -> str:
    """Return a message for code of the user, or of a library, that ended the process instead of raising an exception."""
    trace, where = error.__traceback__, ""
    while trace:
        where = f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return f"{where}: called sys.exit({error.code!r}) during the run; raise an exception instead"


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error means that the machine or a GPU has run out of memory.

    >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("CUDA out of memory.")), lacks_memory(ValueError("x"))
    (True, True, False)
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in text
        for words in (
            "out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "bad allocation",
            "failed to map segment",  # while a library is loaded
            "can't start new thread",  # whose stack has no room
        )
    )  # fmt: skip


def requested_memory(error: BaseException) -> str:
    """Return how much memory could not be allocated; empty if the error does not say so.

    >>> requested_memory(
    ...     RuntimeError(
    ...         "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000 bytes."
    ...     )
    ... )
    '4.0 GB'
    >>> requested_memory(
    ...     RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB")
    ... )
    '2.00 GiB'
    >>> requested_memory(MemoryError())
    ''
    """
    match = re.search(r"(?:tried|unable) to allocate ([\d.]+) (\w+)", str(error), re.IGNORECASE)
    if not match:
        return ""
    size, unit = match.groups()
    return format_bytes(int(size)) if unit.lower() == "bytes" else f"{size} {unit}"


def format_bytes(size: float) -> str:
    """Format a number of bytes.

    >>> [format_bytes(size) for size in (99, 206_376, 1_234_567, 3.5e9)]
    ['99 bytes', '206.4 kB', '1.2 MB', '3.5 GB']
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size:.0f} bytes"


def out_of_memory(error: BaseException) -> str:
    """Return a message that names the memory that could not be allocated and what to try."""
    size = requested_memory(error)
    return (
        f"out of memory{': could not allocate ' if size else ''}{size}; try a smaller loop.batch_size, more"
        " loop.micro_batches, or a smaller loop.eval_batch_size"
    )


class Advice(UserWarning):
    """A warning for the user: the run does what the settings say, but they are probably not what the user wants."""
