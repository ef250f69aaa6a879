"""The exceptions a user can cause, each with the exit code of the command.

::

    TrainctlError            1   never raised itself
    ├── ConfigError          2   a wrong option, value or combination
    ├── DataError            3   a data set that is missing, damaged or unfit
    ├── CheckpointError      4   a run or checkpoint that is missing, damaged or of something else
    ├── StorageError         5   a place that cannot be written
    ├── NonFiniteError       6   a loss, a gradient or weights that are not finite
    ├── UnavailableError     7   a device, memory or an optional package that is not there
    ├── SweepError           8   a sweep with failed trials
    ├── Interrupted        130   Ctrl-C; the run was saved
    └── Terminated         143   SIGTERM or SIGHUP; the run was saved

Everything else that escapes is a bug of ours: exit code 1, with a traceback.
"""

import re
from collections.abc import Sequence
from typing import Any

# What every exit code of the command means; the only list, from which the help is made.
EXIT_CODES = {
    0: "done", 1: "internal error", 2: "configuration", 3: "data", 4: "checkpoint or run", 5: "storage",
    6: "loss not finite", 7: "device, memory or package missing", 8: "failed trials", 130: "Ctrl-C", 143: "SIGTERM",
}  # fmt: skip


class TrainctlError(Exception):
    """Base of all errors whose message is for the user; the message stands alone, without a traceback."""

    exit_code = 1


class ConfigError(TrainctlError):
    """The configuration asks for something that does not exist or makes no sense."""

    exit_code = 2


class DataError(TrainctlError):
    """A data set is missing, damaged, or does not fit what is to be done with it."""

    exit_code = 3


class CheckpointError(TrainctlError):
    """A run or checkpoint is missing, damaged, or belongs to another model, optimizer or data set."""

    exit_code = 4


class StorageError(TrainctlError):
    """A file or directory cannot be written."""

    exit_code = 5


class NonFiniteError(TrainctlError):
    """The loss, the gradient or the weights became infinite or not a number, or the monitored metric never was one.

    Args:
        message: For the user.
        loss: Of the step that is to blame, if it is known.
        gradients: Of that step, in the optimizer's order.
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


class Interrupted(TrainctlError):
    """The user pressed Ctrl-C, or had planned to stop; the run was saved and can be resumed."""

    exit_code = 130

    def __init__(self, message: str, *, planned: bool = False) -> None:
        super().__init__(message)
        self.planned = planned


class Terminated(TrainctlError):
    """The system asked the run to stop; the run was saved and can be resumed."""

    exit_code = 143


def lacks_memory(error: BaseException) -> bool:
    """Say whether an error means that memory has run out, of the machine or of a GPU.

    >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("CUDA out of memory.")), lacks_memory(ValueError("x"))
    (True, True, False)
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in text
        for words in (
            "out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "bad allocation",
            "failed to map segment",  # of a library that is loaded
        )
    )  # fmt: skip


def wanted(error: BaseException) -> str:
    """Return how much memory was asked for in vain, as far as the error says.

    >>> wanted(
    ...     RuntimeError(
    ...         "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000 bytes."
    ...     )
    ... )
    '4.0 GB'
    >>> wanted(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB"))
    '2.00 GiB'
    >>> wanted(MemoryError())
    'an unknown size'
    """
    found = re.search(r"(?:tried|unable) to allocate ([\d.]+) (\w+)", str(error), re.IGNORECASE)
    if not found:
        return "an unknown size"
    size, unit = found.groups()
    return (
        f"{size} {unit}"
        if unit.lower() != "bytes"
        else f"{int(size) / 1e9:.1f} GB"
        if len(size) > 9
        else f"{int(size) / 1e6:.1f} MB"
    )


def out_of_memory(error: BaseException) -> str:
    """Say how much memory was asked for, and what to try."""
    return (
        f"out of memory: {wanted(error)} was asked for; try a smaller loop.batch_size, more loop.micro_batches,"
        " or a smaller loop.eval_batch_size"
    )


class Advice(UserWarning):
    """A warning for the user: what was asked for is done, though it is hardly what anybody wants."""
