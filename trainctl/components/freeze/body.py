"""Train only the output layer, perhaps all layers later."""

from typing import Annotated

from trainctl.components.freeze.base import Freeze


def body(*, until_epoch: Annotated[float, "(0, inf)"] | None, layers: int, steps_per_epoch: int) -> Freeze:
    """Train only the output layer; with ``until_epoch``, all layers from that epoch on.

    Meant for ``init=run``: a new output layer starts with large errors, which would destroy the weights below it.

    Args:
        until_epoch: The epoch, counted from 0, at which all other layers start to train; null: never.
        layers: Number of layers with weights. Supplied by ``assemble``.
        steps_per_epoch: Optimizer steps per epoch. Supplied by ``assemble``.

    Source: J. Yosinski et al., How transferable are features in deep neural networks?, NeurIPS 2014.
    """
    thaw = None if until_epoch is None else round(until_epoch * steps_per_epoch)
    return Freeze(lambda step: layers - 1 if thaw is None or step < thaw else 0)
