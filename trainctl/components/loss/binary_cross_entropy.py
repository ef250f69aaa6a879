"""Cross entropy for two classes."""

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainctl.components.loss.base import Loss
from trainctl.errors import ConfigError


def binary_cross_entropy(
    *, positive_weight: Annotated[float, "(0, inf)"] | Literal["balanced"], class_counts: Tensor
) -> Loss:
    r"""Return the logistic loss for two classes; the second class is the positive one.

    .. math:: L = -\left( p\, y \log \sigma(z) + (1 - y) \log (1 - \sigma(z)) \right), \qquad z = z_1 - z_0

    Outputs ``(N, 2)`` are logits, one for each class; targets ``(N,)`` are 0 or 1. Because :math:`\sigma(z_1 - z_0)`
    is the softmax of the two logits, :math:`p = 1` equals ``loss=cross_entropy``, and predicted probabilities have the
    same meaning.

    Args:
        positive_weight: :math:`p`, weight of positive samples [1]; ``balanced``: the ratio of negative to positive
            samples in the training split.
        class_counts: Number of training samples of each class ``(2,)``. Supplied by ``assemble``.

    Raises:
        ConfigError: If the data does not have two classes.

    Source: D. R. Cox, The regression analysis of binary sequences, 1958; C. Bishop, Pattern Recognition and
    Machine Learning, 2006, equation 4.90.
    """
    if len(class_counts) not in (0, 2):  # 0: not a classification; assemble reports which loss to use
        raise ConfigError(
            f"loss=binary_cross_entropy is for two classes, but the data has {len(class_counts)}: use loss=cross_entropy"
        )
    if positive_weight == "balanced":
        weight = class_counts[0] / class_counts[1].clamp_min(1) if len(class_counts) else None
    else:
        weight = class_counts.new_tensor(positive_weight, dtype=torch.float32)

    def function(outputs: Tensor, targets: Tensor) -> Tensor:
        logits = outputs[:, 1] - outputs[:, 0]
        return functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), pos_weight=weight)

    return Loss(function, ("classification",))
