"""Cross entropy of classes."""

from functools import partial
from typing import Annotated

from torch.nn import functional

from trainctl.loss.base import Loss


def cross_entropy(*, label_smoothing: Annotated[float, "[0, 1)"]) -> Loss:
    r"""Return the cross entropy between the softmax of the outputs and the classes.

    .. math:: L = -\sum_k q_k \log \frac{e^{z_k}}{\sum_j e^{z_j}},
        \qquad q_k = (1 - \varepsilon)\,[k = y] + \varepsilon / K

    Outputs ``(N, K)`` are logits, targets ``(N,)`` are classes.

    Args:
        label_smoothing: :math:`\varepsilon`, share of the target spread evenly over all classes [1].

    Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, equation 4.108; smoothing: C. Szegedy
    et al., Rethinking the Inception architecture, 2016, section 7.
    """
    return Loss(partial(functional.cross_entropy, label_smoothing=label_smoothing), ("classification",))
