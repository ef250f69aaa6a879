"""Mean squared error."""

from torch.nn import functional

from trainctl.components.loss.base import Loss


def mse() -> Loss:
    r"""Return the mean squared error between outputs and targets of the same shape.

    .. math:: L = \frac1n \sum_i (z_i - y_i)^2

    Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, section 1.1.
    """
    return Loss(functional.mse_loss, ("regression", "reconstruction"))
