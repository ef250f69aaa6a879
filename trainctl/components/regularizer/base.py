"""What every regularizer returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

Weight = Annotated[float, "[0, inf)"]


@dataclass(frozen=True)
class Regularizer:
    """What to add to the loss, and what to do after an optimizer step; either may be absent.

    Args:
        penalty: Returns a scalar that is added to the loss of a batch.
        project: Moves the parameters back into their allowed set, in place.
    """

    penalty: Callable[[], Tensor] | None = None
    project: Callable[[], None] | None = None
