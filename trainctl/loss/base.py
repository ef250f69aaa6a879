"""What every loss returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Task = Literal["classification", "regression", "reconstruction"]


@dataclass(frozen=True)
class Loss:
    """A loss and the tasks it makes sense for.

    Args:
        function: ``(outputs, targets) -> mean over the batch``, a scalar.
        tasks: The tasks whose targets it understands.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    tasks: tuple[Task, ...]

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        return self.function(outputs, targets)
