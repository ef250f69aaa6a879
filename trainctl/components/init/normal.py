"""Normal initialisation with the same standard deviation for all layers."""

from typing import Annotated

from torch import nn

from trainctl.components.init.base import draw


def normal(*, model: nn.Module, std: Annotated[float, "(0, inf)"], bias: float) -> None:
    r"""Draw all weights from one normal distribution, regardless of layer size.

    .. math:: w \sim N(0, \sigma^2)

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        std: Standard deviation :math:`\sigma` [1].
        bias: Value of every bias; norm layers keep theirs.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet classification with deep convolutional neural
    networks, 2012, section 5 (0.01).
    """
    draw(model, lambda weight: weight.normal_(0, std), bias)
