"""The parts of a batch as types: a :class:`Piece` is the rows of a part, a :class:`Part` what was computed from them.

:mod:`trainctl.step.pieces` divides a batch into pieces; :mod:`trainctl.step.batch` has parts computed and adds them.
``loop.micro_batches`` says how many there are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from trainctl.components.augment.base import Mixing

Mark = Callable[[str], None]  # called with the name of the phase of a step that begins


class Piece(NamedTuple):
    """The rows that are computed together: a batch, or one of its micro-batches. Rows with a label come first.

    Args:
        inputs: Inputs as stored, ``(N, ...)``.
        targets: Targets of the rows with a label, ``(L, ...)``.
        augmented: Augmented inputs, ``(N, ...)``; None if nothing augments them.
        taught: What a teacher says about the rows, ``(N, ...)``, if that is stored; otherwise None.
        mixings: How rows with a label were mixed with each other.
        unlabeled_mixings: How rows without a label were mixed with each other.
        share: The part's share of the batch's rows with a label, by which their loss and penalties are weighted.
        taught_share: Its share of the rows that a teacher speaks about.
    """

    inputs: Tensor
    targets: Tensor
    augmented: Tensor | None = None
    taught: Tensor | None = None
    mixings: tuple[Mixing, ...] = ()
    unlabeled_mixings: tuple[Mixing, ...] = ()
    share: float = 1.0
    taught_share: float = 1.0


class Seen(NamedTuple):
    """The values from which the metrics of a part are computed.

    Args:
        loss: Mean loss of its rows with a label, without penalties, ``()``.
        outputs: The model's outputs for them, ``(L, ...)``.
        targets: Targets in the form that the loss expects, ``(L, ...)``.
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

    def plus(self, other: "Part") -> "Part":
        """Add the loss and the gradients of another part in place, and return the sum."""
        self.loss.add_(other.loss)
        own = [gradient for gradient in self.gradients if gradient is not None]
        if len(set(map(id, own))) < len(own):  # of parameters that the model adds: autograd returns one tensor for both
            self.gradients = [None if gradient is None else gradient.clone() for gradient in self.gradients]
        self.gradients = [
            theirs if ours is None else ours if theirs is None else ours.add_(theirs)
            for ours, theirs in zip(self.gradients, other.gradients, strict=True)
        ]
        return self


Compute = Callable[[Piece], Part]


def ignore(phase: str) -> None:
    """Do nothing; the mark of a step that is not measured."""
