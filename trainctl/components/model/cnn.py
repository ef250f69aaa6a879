"""Convolutional network."""

from typing import Literal

from torch import nn

from trainctl.components.model.base import (
    ACTIVATIONS,
    RISING,
    Activation,
    ByteDropout,
    Dropouts,
    Norm,
    Width,
    Widths,
    dense,
    need,
    norm_of_maps,
    per_layer,
)
from trainctl.errors import ConfigError

Pooling = Literal["max", "average", "none"]

POOLINGS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


def cnn(
    *,
    channels: list[Width],
    kernel_size: Widths,
    padding: Literal["same", "valid"],
    pooling: Pooling | list[Pooling],
    pool: Widths,
    norm: Norm,
    activation: Activation,
    dropout: Dropouts,
    hidden: list[Width],
    hidden_dropout: Dropouts,
    input_shape: tuple[int, ...],
    outputs: int,
) -> nn.Module:
    """Return a convolutional network: blocks of convolution, norm, activation, pooling and dropout, then dense layers.

    A monotonic activation is computed after max pooling, which gives the same result with less work.

    Inputs are images ``(N, C, H, W)``; outputs are ``(N, outputs)``.

    Args:
        channels: Filters of each convolution.
        kernel_size: Height and width of the filters [pixels]; one for all blocks, or a list.
        padding: ``same`` preserves height and width, ``valid`` does not pad.
        pooling: ``max`` or ``average`` of each window, or ``none`` for no pooling; one for all blocks, or a list.
        pool: Height and width of the pooling windows [pixels]; 1 for no pooling. One for all blocks, or a list.
        norm: Norm after each convolution; ``layer`` is over channels and pixels, ``group`` has up to 32 groups of
            at least four channels.
        activation: Activation after each convolution and each hidden dense layer.
        dropout: Fraction of values dropped after each block [1]; one for all blocks, or a list.
        hidden: Widths of the dense layers between the blocks and the output.
        hidden_dropout: Fraction of values dropped after each hidden dense layer [1]; one for all, or a list.
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        outputs: Number of outputs per sample. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images, an image becomes smaller than a filter or a pooling window, or a list
            does not have one entry for each block.

    Source: Y. LeCun et al., Gradient-based learning applied to document recognition, 1998.
    """
    need("cnn", "images", 3, input_shape)
    depth, height, width = input_shape
    blocks = ("block", "model.channels")
    kernels = per_layer("kernel_size", kernel_size, len(channels), *blocks)
    dropouts = per_layer("dropout", dropout, len(channels), *blocks)
    poolings: list[Pooling] = per_layer("pooling", pooling, len(channels), *blocks)
    windows = per_layer("pool", pool, len(channels), *blocks)
    layers: list[nn.Module] = []
    settings = zip(channels, kernels, poolings, windows, dropouts, strict=True)
    for block, (filters, kernel, kind, pixels, rate) in enumerate(settings, 1):
        window = 1 if kind == "none" else pixels
        if padding == "valid":
            height, width = height - kernel + 1, width - kernel + 1
        if min(height, width) < window:
            raise ConfigError(
                f"model=cnn: block {block} of {len(channels)} has only {max(height, 0)} x {max(width, 0)} pixels for a pooling"
                f" window of {window}: use fewer model.channels, model.padding=same, or a smaller model.kernel_size or model.pool"
            )
        layers += convolution(depth, filters, kernel, padding)
        layers += norm_of_maps(norm, filters)
        active, pooled = [ACTIVATIONS[activation]()], [POOLINGS[kind](window)] if kind != "none" else []
        layers += [*pooled, *active] if kind == "max" and activation in RISING else [*active, *pooled]
        layers += [ByteDropout(rate)] if rate else []
        depth, height, width = filters, height // window, width // window
    size = depth * height * width
    layers += [nn.Flatten()]
    rates = per_layer("hidden_dropout", hidden_dropout, len(hidden), "hidden layer", "model.hidden")
    for units, rate in zip(hidden, rates, strict=True):
        layers += dense(size, units, activation=activation, dropout=rate)
        size = units
    return nn.Sequential(*layers, nn.Linear(size, outputs))


def convolution(depth: int, filters: int, kernel: int, padding: Literal["same", "valid"]) -> list[nn.Module]:
    """Return a convolution; an even filter with padding ``same`` is preceded by a layer that pads."""
    before, after = (kernel - 1) // 2, kernel // 2
    if padding == "same" and before != after:  # an even filter has no centre: one more zero on the right and below
        return [nn.ZeroPad2d((before, after, before, after)), nn.Conv2d(depth, filters, kernel)]
    return [nn.Conv2d(depth, filters, kernel, padding=before if padding == "same" else 0)]
