"""The processes that train one run together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class World:
    """The processes of a run, from the view of one of them.

    Code that uses it needs no special case for a single process: a sum over one process is the number itself, and the only
    process is the first.

    Args:
        rank: This process's rank, from 0.
        size: Number of processes; only 1 is supported yet.
    """

    rank: int
    size: int

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def sum(self, tensor: "Tensor") -> "Tensor":
        """Return the sum of a tensor over all processes, in each process."""
        assert self.size == 1, "more than one process is not supported yet"
        return tensor


ALONE = World(rank=0, size=1)
