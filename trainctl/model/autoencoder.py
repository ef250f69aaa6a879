"""Autoencoder of dense layers."""

import math
from itertools import pairwise

from torch import nn

from trainctl.model.base import Activation, Dropout, Norm, Reconstruction, Width, dense


def autoencoder(
    *,
    hidden: list[Width],
    bottleneck: Width,
    activation: Activation,
    norm: Norm,
    dropout: Dropout,
    input_shape: tuple[int, ...],
) -> nn.Module:
    """Return an encoder to a narrow code and its mirror image as decoder; the model learns to reproduce its input.

    Inputs and outputs are ``(N, *input_shape)``; the target is the scaled, not augmented input.

    Args:
        hidden: Widths of the encoder's hidden layers; the decoder has them in reverse order.
        bottleneck: Width of the code.
        activation: After each hidden layer; code and output are linear.
        norm: Norm before each activation.
        dropout: Share of hidden units that are dropped in training [1].
        input_shape: Shape of a row. Supplied by ``assemble``.

    Source: G. Hinton, R. Salakhutdinov, Reducing the dimensionality of data with neural networks, 2006.
    """
    size = math.prod(input_shape)
    widths = [size, *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths):
        layers += dense(before, after, activation=activation, norm=norm, dropout=dropout)
    layers += [nn.Linear(widths[-1], bottleneck)]
    widths = [bottleneck, *reversed(hidden)]
    for before, after in pairwise(widths):
        layers += dense(before, after, activation=activation, norm=norm, dropout=dropout)
    return Reconstruction(nn.Sequential(*layers, nn.Linear(widths[-1], size), nn.Unflatten(1, input_shape)))
