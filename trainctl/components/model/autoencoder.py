"""Autoencoder, dense or convolutional."""

import math
from itertools import pairwise

from torch import nn

from trainctl.components.model.base import (
    ACTIVATIONS,
    Activation,
    ByteDropout,
    Dropout,
    Norm,
    Reconstruction,
    Width,
    dense,
    norm_of_maps,
)
from trainctl.errors import ConfigError


def autoencoder(
    *,
    channels: list[Width],
    kernel_size: Width,
    hidden: list[Width],
    bottleneck: Width,
    activation: Activation,
    norm: Norm,
    dropout: Dropout,
    input_shape: tuple[int, ...],
) -> nn.Module:
    """Return an autoencoder: an encoder to a narrow code and its mirror image as decoder.

    The model learns to reproduce its input. Inputs and outputs are ``(N, *input_shape)``; the target is the scaled input
    without augmentation. With ``channels``, each convolution of the encoder halves height and width (rounded up). The
    decoder upsamples to exactly the size that the encoder had at this point, even if it is odd, and then convolves; a
    transposed convolution would cause checkerboard artifacts.

    Args:
        channels: Filters of the encoder's convolutions, for images; empty for dense layers only.
        kernel_size: Height and width of the filters [pixels], an odd number.
        hidden: Widths of the encoder's hidden dense layers; the decoder has them in reverse order.
        bottleneck: Width of the code.
        activation: Activation after each hidden layer; code and output are linear.
        norm: Norm before each activation.
        dropout: Fraction of hidden values that are dropped in training [1].
        input_shape: Shape of a sample. Supplied by ``assemble``.

    Raises:
        ConfigError: If there are channels and samples are not images, or the filter size is even.

    Source: G. Hinton, R. Salakhutdinov, Reducing the dimensionality of data with neural networks, 2006;
    convolutions: J. Masci et al., Stacked convolutional auto-encoders, 2011, with the upsampling of A. Odena,
    V. Dumoulin, C. Olah, Deconvolution and checkerboard artifacts, 2016.
    """
    if channels and len(input_shape) != 3:
        raise ConfigError(
            f"model.channels={channels} needs images; this data set's samples have shape {input_shape}:"
            " use model.channels=[]"
        )
    if channels and kernel_size % 2 == 0:
        raise ConfigError(f"model.kernel_size={kernel_size} must be odd: use model.kernel_size={kernel_size + 1}")
    # 1. Shapes of the maps, from the image to the output of the last convolution.
    maps = [input_shape]
    for filters in channels:
        _, height, width = maps[-1]
        maps.append((filters, (height + 1) // 2, (width + 1) // 2))
    # 2. Encoder.
    size = math.prod(maps[-1])
    layers: list[nn.Module] = []
    for (depth, *_), (filters, *_) in pairwise(maps):
        layers += [nn.Conv2d(depth, filters, kernel_size, 2, kernel_size // 2)]
        layers += _after(filters, activation, norm, dropout)
    layers += [nn.Flatten()]
    widths = [size, *hidden]
    for before, after in pairwise(widths):
        layers += dense(before, after, activation=activation, norm=norm, dropout=dropout)
    layers += [nn.Linear(widths[-1], bottleneck)]
    code = f"body.{len(layers) - 1}"
    # 3. Decoder.
    widths = [bottleneck, *reversed(hidden)]
    for before, after in pairwise(widths):
        layers += dense(before, after, activation=activation, norm=norm, dropout=dropout)
    layers += [nn.Linear(widths[-1], size)]
    if channels:
        layers += [ACTIVATIONS[activation]()]
    layers += [nn.Unflatten(1, maps[-1])]
    for level in range(len(channels), 0, -1):
        (filters, height, width), (depth, *_) = maps[level - 1], maps[level]
        layers += [nn.Upsample((height, width)), nn.Conv2d(depth, filters, kernel_size, padding=kernel_size // 2)]
        layers += _after(filters, activation, norm, dropout) if level > 1 else []
    return Reconstruction(nn.Sequential(*layers), code)


def _after(filters: int, activation: Activation, norm: Norm, dropout: float) -> list[nn.Module]:
    """Return the layers after a hidden convolution: norm, activation, dropout."""
    layers = [*norm_of_maps(norm, filters), ACTIVATIONS[activation]()]
    return [*layers, ByteDropout(dropout)] if dropout else layers
