"""What computing a part of a batch gives, and the types of what computes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from trainctl.components.augment.base import Mixing

Mark = Callable[[str], None]  # is called with the name of the phase of a step that begins


class Seen(NamedTuple):
    """What the metrics of a part are computed from.

    Args:
        loss: The mean loss of its rows, without penalties, ``()``.
        outputs: Of the model, ``(N, ...)``.
        targets: As the loss takes them, ``(N, ...)``.
    """

    loss: Tensor
    outputs: Tensor
    targets: Tensor


@dataclass(slots=True)
class Part:
    """The loss and the gradients of a part of a batch, as its share of those of the batch.

    Args:
        loss: The part's share of the batch's loss, penalties included, ``()``.
        gradients: One for each trained parameter, in the optimizer's order; None where it does not depend on one.
        seen: What is to be added to the metrics; None if the computation has added it itself.
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
    """Do nothing: the mark of a step that nobody measures."""
