"""The result of computing part of a batch, and the types of the functions that compute it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from trainctl.components.augment.base import Mixing

Mark = Callable[[str], None]  # called with the name of the phase of a step that begins


class Seen(NamedTuple):
    """The values from which the metrics of a part are computed.

    Args:
        loss: Mean loss of its rows, without penalties, ``()``.
        outputs: The model's outputs, ``(N, ...)``.
        targets: Targets in the form that the loss expects, ``(N, ...)``.
    """

    loss: Tensor
    outputs: Tensor
    targets: Tensor


@dataclass(slots=True)
class Part:
    """The loss and the gradients of part of a batch, weighted by its share of the batch's rows.

    Args:
        loss: The part's contribution to the batch's loss, including penalties, ``()``.
        gradients: One for each trained parameter, in the optimizer's order; None if the loss does not depend on it.
        seen: Values to add to the metrics; None if the computation has already added them.
    """

    loss: Tensor
    gradients: list[Tensor | None]
    seen: Seen | None

    def add(self, other: "Part") -> None:
        """Add the loss and the gradients of another part, in place."""
        self.loss.add_(other.loss)
        self.gradients = [
            theirs if ours is None else ours if theirs is None else ours.add_(theirs)
            for ours, theirs in zip(self.gradients, other.gradients, strict=True)
        ]


# (inputs, targets, augmented inputs, mixings, share of the batch's rows) -> Part
Compute = Callable[[Tensor, Tensor, Tensor | None, Sequence[Mixing], float], Part]


def ignore(phase: str) -> None:
    """Do nothing; the mark of a step that is not measured."""
