"""The exceptions a user can cause, each with the exit code of the command.

::

    TrainctlError            1   never raised itself
    ├── ConfigError          2   a wrong option, value or combination
    ├── DataError            3   a data set that is missing, damaged or unfit
    ├── CheckpointError      4   a run or checkpoint that is missing, damaged or of something else
    ├── StorageError         5   a place that cannot be written
    ├── NonFiniteError       6   a loss that is not finite
    ├── UnavailableError     7   a device, memory or an optional package that is not there
    ├── SweepError           8   a sweep with failed trials
    ├── Interrupted        130   Ctrl-C; the run was saved
    └── Terminated         143   SIGTERM or SIGHUP; the run was saved

Everything else that escapes is a bug of ours: exit code 1, with a traceback.
"""


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
    """The loss became infinite or not a number."""

    exit_code = 6


class UnavailableError(TrainctlError):
    """The machine lacks what the run needs: a device, memory, or an optional package."""

    exit_code = 7


class SweepError(TrainctlError):
    """At least one trial of a sweep failed."""

    exit_code = 8


class Interrupted(TrainctlError):
    """The user pressed Ctrl-C; the run was saved and can be resumed."""

    exit_code = 130


class Terminated(TrainctlError):
    """The system asked the run to stop; the run was saved and can be resumed."""

    exit_code = 143


def lacks_memory(error: BaseException) -> bool:
    """Say whether an error means that memory has run out, of the machine or of a GPU.

    >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("CUDA out of memory.")), lacks_memory(ValueError("x"))
    (True, True, False)
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


class Advice(UserWarning):
    """A warning for the user: what was asked for is done, though it is hardly what anybody wants."""
