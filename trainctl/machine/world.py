"""The processes that train one run together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class World:
    """The processes of a run, as one of them sees them.

    What asks it needs no case for a run that trains alone: a sum over one process is the number itself, and the only
    process is the first.

    Args:
        rank: Of this process, from 0.
        size: How many processes there are; no run is trained by more than one yet.
    """

    rank: int
    size: int

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def sum(self, tensor: "Tensor") -> "Tensor":
        """Return the sum of a tensor over all processes, which each of them receives."""
        assert self.size == 1, "no run is trained by more than one process yet"
        return tensor


ALONE = World(rank=0, size=1)
