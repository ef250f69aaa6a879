"""Mean squared error."""

from torch.nn import functional

from trainctl.components.loss.base import Loss


def mse() -> Loss:
    r"""Return the mean squared error, which is minimal at the mean of the targets.

    .. math:: L = \frac1n \sum_i (z_i - y_i)^2

    Outputs and targets have the same shape.

    Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, section 1.1.
    """
    return Loss(functional.mse_loss, ("regression", "reconstruction"))
