"""No regularizer."""

from trainctl.components.regularizer.base import Regularizer


def none() -> Regularizer:
    """Add no penalty to the loss.

    Dropout is a parameter of the models, label smoothing of the losses, weight decay of the optimizers.
    """
    return Regularizer()
