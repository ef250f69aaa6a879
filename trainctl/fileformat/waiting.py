"""Report what a long piece of work is doing to whatever shows it. Imports no torch.

Whatever may take long is wrapped into ``with waiting("reading data.csv")``, and counts with ``advance`` if it knows how
much there is to do. Nothing is shown unless a listener was installed: :mod:`trainctl.report.waits` shows a progress line.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(eq=False)  # two threads may read files of the same name
class Wait:
    """A piece of work that may take long; another thread may read it at any time.

    Args:
        what: What is done, such as ``reading data.csv``.
        total: How much there is to do; None if unknown.
        unit: What is counted, in the plural.
        done: How much is done.
    """

    what: str
    total: int | None = None
    unit: str = ""
    done: int = field(default=0)

    def advance(self, count: int = 1) -> None:
        """Count what was done; cheap enough for each row or step."""
        self.done += count


Listener = Callable[[Wait], AbstractContextManager[object]]


def ignore(_: Wait) -> AbstractContextManager[object]:
    """Show nothing."""
    return nullcontext()


_listeners: list[Listener] = [ignore]
_waits: list[Wait] = []


def install(listener: Listener) -> None:
    """Let a listener show what is waited for, for the rest of the process."""
    _listeners[:] = [listener]


@contextmanager
def waiting(what: str, total: int | None = None, unit: str = "") -> Iterator[Wait]:
    """Show a piece of work while the block runs.

    >>> with waiting("reading data.csv", 3, "rows") as wait:
    ...     wait.advance(2)
    >>> wait.done
    2
    """
    wait = Wait(what, total, unit)
    _waits.append(wait)
    try:
        with _listeners[0](wait):
            yield wait
    finally:
        _waits.remove(wait)


def counted(items: Iterable[Item], what: str, total: int | None = None, unit: str = "") -> Iterator[Item]:
    """Yield items, and count them while they are worked on.

    >>> list(counted("ab", "reading", 2))
    ['a', 'b']
    """
    with waiting(what, total, unit) as wait:
        for item in items:
            yield item
            wait.advance()


def count_one(unit: str) -> None:
    """Count one of the units of the innermost work that has no total of its own, such as a file that was decoded."""
    if _waits and _waits[-1].total is None:
        _waits[-1].unit = unit
        _waits[-1].done += 1
