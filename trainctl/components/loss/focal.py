"""Focal loss for classes."""

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from trainctl.components.loss.base import ClassWeights, Loss, weights_of


def focal(*, gamma: Annotated[float, "[0, inf)"], class_weights: ClassWeights, class_counts: Tensor) -> Loss:
    r"""Return the cross entropy with less weight on samples that are already classified well.

    .. math:: L = -\alpha_y\, (1 - p_y)^\gamma \log p_y, \qquad p = \operatorname{softmax}(z)

    Outputs ``(N, K)`` are logits, targets ``(N,)`` are classes. A batch's loss is the mean over its samples.

    Args:
        gamma: :math:`\gamma`, how strongly well classified samples are discounted [1]; 0 is cross entropy.
        class_weights: :math:`\alpha`, one weight for each class; ``balanced``: :math:`n / (K n_k)` with the number
            :math:`n_k` of training samples of each class; ``none``: 1.
        class_counts: Number of training samples of each class ``(K,)``. Supplied by ``assemble``.

    Raises:
        ConfigError: If the number of weights is not the number of classes.

    Source: T.-Y. Lin et al., Focal loss for dense object detection, 2017, equation 5, with a softmax over all
    classes instead of the paper's sigmoid.
    """
    weights = weights_of(class_weights, class_counts)

    def function(outputs: Tensor, targets: Tensor) -> Tensor:
        logarithms = functional.log_softmax(outputs, dim=1).gather(1, targets[:, None]).squeeze(1)
        # 1 - p without cancellation, and above 0, where a power below 1 would have an infinite slope.
        missed = (-torch.expm1(logarithms)).clamp_min(torch.finfo(outputs.dtype).eps)
        losses = -missed.pow(gamma) * logarithms
        return (losses if weights is None else weights[targets] * losses).mean()

    return Loss(function, ("classification",))
