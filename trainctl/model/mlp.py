"""Multilayer perceptron."""

import math
from itertools import pairwise

from torch import nn

from trainctl.model.base import Activation, Dropout, Norm, Width, dense


def mlp(
    *,
    hidden: list[Width],
    activation: Activation,
    norm: Norm,
    dropout: Dropout,
    input_shape: tuple[int, ...],
    outputs: int,
) -> nn.Module:
    r"""Return dense layers, each followed by norm, activation and dropout, and a linear output layer.

    .. math:: h_l = \phi(W_l h_{l-1} + b_l)

    Inputs ``(N, *input_shape)`` are flattened; outputs are ``(N, outputs)``.

    Args:
        hidden: Widths of the hidden layers; empty for a linear model.
        activation: :math:`\phi`.
        norm: Norm before the activation.
        dropout: Share of hidden units that are dropped in training [1].
        input_shape: Shape of a row. Supplied by ``assemble``.
        outputs: Numbers to return for a row. Supplied by ``assemble``.

    Source: D. Rumelhart, G. Hinton, R. Williams, Learning representations by back-propagating errors, 1986;
    dropout: N. Srivastava et al., 2014.
    """
    widths = [math.prod(input_shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths):
        layers += dense(before, after, activation=activation, norm=norm, dropout=dropout)
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
