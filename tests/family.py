"""Which processes a process has started, and whether they still live; without options that some kernels lack."""

from pathlib import Path
from typing import NamedTuple


class Child(NamedTuple):
    """A process that another one has started.

    Args:
        pid: Its number, which another process may have later.
        began: When it began [clock ticks after the machine did].
        leads: Whether it has a session of its own, as each of several processes that train a run.
    """

    pid: int
    began: int
    leads: bool


def children(pid: int) -> list[Child]:
    """Return the living processes that a process has started, the oldest first."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        number, (parent, session, began) = int(path.name), _facts(int(path.name))
        if parent == pid:
            found.append(Child(number, began, session == number))
    return sorted(found, key=lambda each: (each.began, each.pid))


def lives(child: Child) -> bool:
    """Return whether a process still runs."""
    return _facts(child.pid)[2] == child.began


def _facts(pid: int) -> tuple[int, int, int]:
    """Return a process's parent, its session, and when it began; -1 for each if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1, -1, -1
    state, parent, _, session, *more = text.rpartition(")")[2].split()  # before that, a name of any characters
    return (-1, -1, -1) if state in "ZX" else (int(parent), int(session), int(more[15]))
