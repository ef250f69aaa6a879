"""Focal loss of classes."""

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from trainctl.components.loss.base import ClassWeights, Loss, weights_of


def focal(*, gamma: Annotated[float, "[0, inf)"], class_weights: ClassWeights, class_counts: Tensor) -> Loss:
    r"""Return the cross entropy with less weight on rows that are classified well.

    .. math:: L = -\alpha_y\, (1 - p_y)^\gamma \log p_y, \qquad p = \operatorname{softmax}(z)

    Outputs ``(N, K)`` are logits, targets ``(N,)`` are classes. A batch's loss is the mean over its rows.

    Args:
        gamma: :math:`\gamma`, how strongly well classified rows are discounted [1]; 0 is cross entropy.
        class_weights: :math:`\alpha`, one for each class; ``balanced``: :math:`n / (K n_k)` from the
            :math:`n_k` rows of each class in the training split; ``none``: 1.
        class_counts: Training rows of each class ``(K,)``. Supplied by ``assemble``.

    Raises:
        ConfigError: If there is not one weight for each class.

    Source: T.-Y. Lin et al., Focal loss for dense object detection, 2017, equation 5; here with a softmax
    over all classes where the paper has a sigmoid.
    """
    weights = weights_of(class_weights, class_counts)

    def function(outputs: Tensor, targets: Tensor) -> Tensor:
        logarithms = functional.log_softmax(outputs, dim=1).gather(1, targets[:, None]).squeeze(1)
        # 1 - p without cancellation; above 0, where a power below 1 would have an infinite slope.
        missed = (-torch.expm1(logarithms)).clamp_min(torch.finfo(outputs.dtype).eps)
        losses = -missed.pow(gamma) * logarithms
        return (losses if weights is None else weights[targets] * losses).mean()

    return Loss(function, ("classification",))
