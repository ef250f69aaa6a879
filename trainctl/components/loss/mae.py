"""Mean absolute error."""

from torch.nn import functional

from trainctl.components.loss.base import Loss


def mae() -> Loss:
    r"""Return the mean absolute error between outputs and targets of the same shape; its minimum is the median.

    .. math:: L = \frac1n \sum_i |z_i - y_i|

    The gradient is 0 where both are equal.

    Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, equation 1.91 with q = 1.
    """
    return Loss(functional.l1_loss, ("regression", "reconstruction"))
