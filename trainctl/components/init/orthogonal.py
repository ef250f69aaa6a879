"""Orthogonal initialisation."""

from torch import nn

from trainctl.components.init.base import Gain, draw, gain_of


def orthogonal(*, model: nn.Module, gain: Gain, bias: float) -> None:
    r"""Draw each weight matrix as a random orthogonal one, which keeps the length of signals.

    .. math:: W W^\top = g^2 I \quad\text{or}\quad W^\top W = g^2 I

    whichever side of the matrix is smaller; a filter bank ``(out, in, ...)`` is read as ``(out, -1)``, each gate
    of a recurrent layer as a matrix of its own. The variance is :math:`g^2 / \max(n_\text{in}, n_\text{out})`,
    where a filter's outputs are its filters.

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        gain: :math:`g` [1], or the activation to take it from.
        bias: Value of every bias; norm layers keep theirs.

    Source: A. Saxe, J. McClelland, S. Ganguli, Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks, 2014.
    """
    factor = gain_of(gain)
    draw(model, lambda weight: nn.init.orthogonal_(weight, factor), bias)
