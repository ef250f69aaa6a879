"""Cross entropy for any number of classes."""

from typing import Annotated

from torch import Tensor
from torch.nn import functional

from trainctl.components.loss.base import ClassWeights, Loss, weights_of


def cross_entropy(
    *, label_smoothing: Annotated[float, "[0, 1)"], class_weights: ClassWeights, class_counts: Tensor
) -> Loss:
    r"""Return the cross entropy between the softmax of the outputs and the classes.

    .. math:: L = -\sum_k w_k\, q_k \log \frac{e^{z_k}}{\sum_j e^{z_j}},
        \qquad q_k = (1 - \varepsilon)\,[k = y] + \varepsilon / K

    Outputs ``(N, K)`` are logits, targets ``(N,)`` are classes. A batch's loss is the mean over its samples; PyTorch
    divides by the sum of the samples' weights instead, so that the influence of a sample depends on its batch.

    Args:
        label_smoothing: :math:`\varepsilon`, fraction of the target that is spread uniformly over all classes [1].
        class_weights: :math:`w`, one weight for each class; ``balanced``: :math:`n / (K n_k)` with the number
            :math:`n_k` of training samples of each class; ``none``: 1.
        class_counts: Number of training samples of each class ``(K,)``. Supplied by ``assemble``.

    Raises:
        ConfigError: If the number of weights is not the number of classes.

    Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, equation 4.108; smoothing: C. Szegedy
    et al., Rethinking the Inception architecture, 2016, section 7; balanced: G. King, L. Zeng, 2001.
    """
    weights = weights_of(class_weights, class_counts)

    def function(outputs: Tensor, targets: Tensor) -> Tensor:
        if weights is None:  # then PyTorch's mean is the mean over samples
            return functional.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
        losses = functional.cross_entropy(
            outputs, targets, weight=weights, label_smoothing=label_smoothing, reduction="none"
        )
        return losses.mean()

    return Loss(function, ("classification",))
