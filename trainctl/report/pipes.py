"""Streams whose reader is gone, or that cannot be written: nothing of them may end the command with another exit code."""

import os
import select
from typing import TextIO


def abandoned(stream: TextIO) -> bool:
    """Return whether nobody reads a stream any more, because the other end of its pipe is closed."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return bool(poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on this system, or the stream is closed
        return True


def discard_unwritten(stream: TextIO) -> None:
    """Discard what a stream has not written yet if it cannot be written, as on a full disk."""
    try:
        stream.flush()
    except (OSError, ValueError):  # ValueError: the stream is closed
        drain(stream)


def drain(stream: TextIO) -> None:
    """Redirect a broken stream to nothing; otherwise Python's own flush at exit would fail with exit code 120."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
    except (OSError, ValueError):  # ValueError: the stream is closed, or has no file
        return
