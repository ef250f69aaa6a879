"""Uniform initialisation with the same range for all layers."""

from typing import Annotated

from torch import nn

from trainctl.components.init.base import draw


def uniform(*, model: nn.Module, bound: Annotated[float, "(0, inf)"], bias: float) -> None:
    r"""Draw all weights from one uniform distribution, regardless of layer size.

    .. math:: w \sim U(-b, b), \qquad \operatorname{Var}(w) = b^2 / 3

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        bound: :math:`b`, the largest absolute value [1].
        bias: Value of every bias; norm layers keep theirs.

    Source: D. Rumelhart, G. Hinton, R. Williams, Learning internal representations by error propagation,
    1986, section "The results".
    """
    draw(model, lambda weight: weight.uniform_(-bound, bound), bias)
