"""Mean absolute error."""

from torch.nn import functional

from trainctl.components.loss.base import Loss


def mae() -> Loss:
    r"""Return the mean absolute error, which is minimal at the median of the targets.

    .. math:: L = \frac1n \sum_i |z_i - y_i|

    Outputs and targets have the same shape. The gradient is 0 where they are equal.

    Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, equation 1.91 with q = 1.
    """
    return Loss(functional.l1_loss, ("regression", "reconstruction"))
