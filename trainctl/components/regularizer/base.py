"""The type that every regularizer returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

Weight = Annotated[float, "[0, inf)"]


@dataclass(frozen=True)
class Regularizer:
    """A penalty that is added to the loss, and a projection after each optimizer step; either may be None.

    Args:
        penalty: Returns a scalar that is added to the loss of a batch.
        project: Moves the parameters back into the allowed set, in place.
    """

    penalty: Callable[[], Tensor] | None = None
    project: Callable[[], None] | None = None
