"""Multilayer perceptron."""

import math
from itertools import pairwise

from torch import nn

from trainctl.components.model.base import Activation, Dropouts, Norm, Width, dense, per_layer


def mlp(
    *,
    hidden: list[Width],
    activation: Activation,
    norm: Norm,
    dropout: Dropouts,
    input_shape: tuple[int, ...],
    outputs: int,
) -> nn.Module:
    r"""Return a multilayer perceptron: dense layers with norm, activation and dropout, and a linear output layer.

    .. math:: h_l = \phi(W_l h_{l-1} + b_l)

    Inputs ``(N, *input_shape)`` are flattened; outputs are ``(N, outputs)``.

    Args:
        hidden: Widths of the hidden layers; empty for a linear model.
        activation: :math:`\phi`; ``identity`` for a deep linear model.
        norm: Norm before the activation; ``group`` has up to 32 groups of at least four units.
        dropout: Fraction of hidden units that are dropped in training [1]; one for all hidden layers, or a list.
        input_shape: Shape of a sample. Supplied by ``assemble``.
        outputs: Number of outputs per sample. Supplied by ``assemble``.

    Raises:
        ConfigError: If a list of dropouts does not have one entry for each hidden layer.

    Source: D. Rumelhart, G. Hinton, R. Williams, Learning representations by back-propagating errors, 1986;
    dropout: N. Srivastava et al., 2014.
    """
    widths = [math.prod(input_shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    dropouts = per_layer("dropout", dropout, len(hidden), "hidden layer", "model.hidden")
    for (before, after), rate in zip(pairwise(widths), dropouts, strict=True):
        layers += dense(before, after, activation=activation, norm=norm, dropout=rate)
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
