"""Convolutional network."""

from typing import Annotated, Literal

from torch import nn

from trainctl.errors import ConfigError
from trainctl.model.base import ACTIVATIONS, Activation, Dropout, Width, dense, need

ImageNorm = Literal["none", "batch"]


def cnn(
    *,
    channels: list[Width],
    kernel_size: Width,
    padding: Literal["same", "valid"],
    pool: Annotated[int, "[1, inf)"],
    norm: ImageNorm,
    activation: Activation,
    dropout: Dropout,
    hidden: list[Width],
    hidden_dropout: Dropout,
    input_shape: tuple[int, ...],
    outputs: int,
) -> nn.Module:
    """Return blocks of convolution, norm, activation, max-pooling and dropout, then dense layers.

    Inputs are images ``(N, C, H, W)``; outputs are ``(N, outputs)``.

    Args:
        channels: Filters of each convolution.
        kernel_size: Height and width of the filters [pixels].
        padding: ``same`` keeps height and width, ``valid`` pads nothing.
        pool: Height and width of the pooling windows [pixels]; 1 does not pool.
        norm: Norm after each convolution.
        activation: After each convolution and each hidden dense layer.
        dropout: Share of values dropped after each block [1].
        hidden: Widths of the dense layers between the blocks and the output.
        hidden_dropout: Share of values dropped after each of those [1].
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        outputs: Numbers to return for a row. Supplied by ``assemble``.

    Raises:
        ConfigError: If rows are not images, or an image becomes smaller than a filter or a pooling window.

    Source: Y. LeCun et al., Gradient-based learning applied to document recognition, 1998.
    """
    need("cnn", "images", 3, input_shape)
    depth, height, width = input_shape
    layers: list[nn.Module] = []
    for block, filters in enumerate(channels, 1):
        if padding == "valid":
            height, width = height - kernel_size + 1, width - kernel_size + 1
        if min(height, width) < pool:
            raise ConfigError(
                f"model cnn: block {block} of {len(channels)} leaves {max(height, 0)} x {max(width, 0)} pixels for a pooling of {pool}:"
                f" give fewer model.channels, model.padding=same, or a smaller model.kernel_size or model.pool"
            )
        before, after = (kernel_size - 1) // 2, kernel_size // 2
        if padding == "same" and before != after:  # an even filter has no middle: one more zero at the right and below
            layers += [nn.ZeroPad2d((before, after, before, after)), nn.Conv2d(depth, filters, kernel_size)]
        else:
            layers += [nn.Conv2d(depth, filters, kernel_size, padding=before if padding == "same" else 0)]
        layers += [nn.BatchNorm2d(filters)] if norm == "batch" else []
        layers += [ACTIVATIONS[activation](), nn.MaxPool2d(pool)]
        layers += [nn.Dropout(dropout)] if dropout else []
        depth, height, width = filters, height // pool, width // pool
    size = depth * height * width
    layers += [nn.Flatten()]
    for units in hidden:
        layers += dense(size, units, activation=activation, dropout=hidden_dropout)
        size = units
    return nn.Sequential(*layers, nn.Linear(size, outputs))
