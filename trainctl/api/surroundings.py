"""Leave a Python process as it was: threads, random numbers; and turn errors of the machine into ours."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainctl.api.turn import TURN
from trainctl.errors import StorageError, UnavailableError, lacks_memory, out_of_memory
from trainctl.machine import device as devices

STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES, errno.EPERM)


@contextmanager
def as_before() -> Iterator[None]:
    """Restore the number of threads and the random generators at the end; one thread at a time.

    Raises:
        UnavailableError: If memory runs out.
        StorageError: If a file cannot be written.
    """
    with TURN:
        threads = torch.get_num_threads()
        used = torch.device("cuda" if torch.cuda.is_available() and torch.cuda.is_initialized() else "cpu")
        states = devices.random_states(used)
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            raise UnavailableError(out_of_memory(error)) from error
        except OSError as error:
            if error.errno not in STORAGE:
                raise
            raise StorageError(f"cannot read or write: {error}") from error
        finally:
            devices.restore_random_states(states, used)
            torch.set_num_threads(threads)
