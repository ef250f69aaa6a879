"""Thaw one layer after the other, from the output."""

from typing import Annotated

from trainctl.components.freeze.base import Freeze


def gradual(*, every_epochs: Annotated[float, "(0, inf)"], layers: int, steps_per_epoch: int) -> Freeze:
    """Train the output layer first, and one more layer below it after every ``every_epochs`` epochs.

    Args:
        every_epochs: Epochs between the thawing of two layers.
        layers: Number of layers with weights. Supplied by ``assemble``.
        steps_per_epoch: Optimizer steps per epoch. Supplied by ``assemble``.

    Source: J. Howard, S. Ruder, Universal language model fine-tuning for text classification, ACL 2018, section 3.3.
    """
    interval = max(1, round(every_epochs * steps_per_epoch))
    return Freeze(lambda step: max(0, layers - 1 - step // interval))
