"""What not every system has. Imports no torch."""

import os

from trainctl.errors import UnavailableError


def require_fork() -> None:
    """Check that the system can copy a process, which is how the workers of a sweep start with PyTorch and the data.

    Raises:
        UnavailableError: If it cannot, as Windows.
    """
    if not hasattr(os, "fork"):
        raise UnavailableError(
            "a sweep needs Linux or macOS, because its workers are copies of a process; on Windows use WSL, or start its"
            " trials one by one"
        )
