"""The processes that train one run together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from trainctl.machine.signals import StopRequest

if TYPE_CHECKING:
    from trainctl.machine.agreed import AgreedRequest
    from trainctl.machine.link import Link

Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """The processes of a run, from the view of one of them.

    Code that uses it needs no special case for a single process: what one process decides is decided for all, and the only
    process is the first.

    Args:
        rank: This process's rank, from 0.
        size: Number of processes.
        local_rank: Its rank among the processes on this machine.
        local_size: How many of them are on this machine.
        link: The connection to the others; None if there are none.
    """

    rank: int
    size: int
    local_rank: int = 0
    local_size: int = 1
    link: "Link | None" = None

    @property
    def first(self) -> bool:
        """Whether this process writes, reports and decides."""
        return self.rank == 0

    def agreed(self, request: StopRequest) -> "StopRequest | AgreedRequest":
        """Return what signals ask for in any process; it changes in all of them after the same step."""
        return request if self.link is None else self.link.listen(request)

    def share(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank; a value is whatever JSON can hold.

        Raises:
            ProcessError: If a process is gone.
        """
        return [value] if self.link is None else self.link.share(value)

    def of_first(self, value: Value) -> Value:
        """Return the value of the first process: what follows from a clock, a file or a signal is decided there."""
        return value if self.link is None else self.share(value if self.first else None)[0]

    def together(self, work: Callable[[], Value]) -> Value:
        """Do work in which the processes do not wait for each other; it fails in all of them if it fails in one.

        Raises:
            Stopped: If a signal arrived in any of them.
            ProcessError: If it failed in another one.
            Exception: What it raised in this one.
        """
        return work() if self.link is None else self.link.together(work)

    def in_step(self, work: Callable[[], Value]) -> Value:
        """Do work in which torch lets the processes wait for each other.

        Raises:
            ProcessError: If a process is gone.
            Exception: What the work raised in this one.
        """
        return work() if self.link is None else self.link.in_step(work)


ALONE = World(rank=0, size=1)
_current = [ALONE]  # changes once, when this process joins others


def current() -> World:
    """Return the processes that this one trains with."""
    return _current[0]


def set_current(world: World) -> None:
    """Make a world that of this process."""
    _current[0] = world
