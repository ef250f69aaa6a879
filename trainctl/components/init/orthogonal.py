"""Orthogonal initialisation."""

from torch import nn

from trainctl.components.init.base import Gain, draw, gain_of


def orthogonal(*, model: nn.Module, gain: Gain, bias: float) -> None:
    r"""Draw each weight matrix as a random orthogonal matrix, which preserves the length of its input.

    .. math:: W W^\top = g^2 I \quad\text{or}\quad W^\top W = g^2 I

    depending on which side of the matrix is smaller. A convolution's weights ``(out, in, ...)`` are treated as a matrix
    ``(out, -1)``, and each gate of a recurrent layer as a separate matrix. The variance is
    :math:`g^2 / \max(n_\text{in}, n_\text{out})`, where :math:`n_\text{out}` of a convolution is the number of filters.

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        gain: :math:`g` [1], or an activation that determines it.
        bias: Value of every bias; norm layers keep theirs.

    Source: A. Saxe, J. McClelland, S. Ganguli, Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks, 2014.
    """
    factor = gain_of(gain)
    draw(model, lambda weight: nn.init.orthogonal_(weight, factor), bias)
