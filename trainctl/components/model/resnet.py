"""Residual network for small images."""

from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional

from trainctl.components.model.base import ACTIVATIONS, Activation, ByteDropout, Dropout, Norm, need, norm_of_maps
from trainctl.errors import ConfigError

Shortcut = Literal["A", "B"]
STAGES = (16, 32, 64)  # channels, before the width multiplier


class Pad(nn.Module):
    """Shortcut A: every ``stride``-th pixel, and zeros for the new channels."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = new_channels, stride

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps with the shape of the block's output."""
        return functional.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut around them: ``activation(shortcut(x) + body(x))``."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.activation = body, shortcut, activation

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's output maps."""
        summed: Tensor = self.activation(self.shortcut(maps) + self.body(maps))
        return summed


def resnet(
    *,
    depth: Annotated[int, "[8, inf)"],
    width: Annotated[float, "(0, inf)"],
    shortcut: Shortcut,
    norm: Norm,
    activation: Activation,
    dropout: Dropout,
    input_shape: tuple[int, ...],
    outputs: int,
) -> nn.Module:
    r"""Return a residual network of the CIFAR family: 3 stages of n blocks of two 3x3 convolutions, depth 6n + 2.

    .. math:: h_{l+1} = \phi(S(h_l) + F(h_l))

    The network starts with a convolution of 16 filters. The stages have 16, 32 and 64 filters; the second and third
    halve height and width. It ends with the mean over all pixels and a linear layer. Inputs are images
    ``(N, C, H, W)``; outputs are ``(N, outputs)``. For images of 32 x 32 pixels with three channels and 10 classes,
    depths 20, 32, 44, 56 and 110 have 0.27, 0.46, 0.66, 0.85 and 1.7 million parameters, as published.

    Args:
        depth: Number of layers with weights, 6n + 2: 8, 14, 20, 26, 32, 44, 56, 110, ...
        width: Factor by which the stages' channels are multiplied [1]; 10 with dropout is a wide residual network.
        shortcut: Where the number of channels grows, :math:`S` takes every second pixel and either (``A``) adds
            channels of zeros, without parameters, or (``B``) applies a 1x1 convolution with norm. Elsewhere it is the
            identity.
        norm: Norm after each convolution; with ``none``, convolutions have biases.
        activation: :math:`\phi`, after the sum and between the convolutions of a block.
        dropout: Fraction of values dropped between the convolutions of a block [1].
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        outputs: Number of outputs per sample. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images, or the depth is not 6n + 2.

    Source: K. He, X. Zhang, S. Ren, J. Sun, Deep residual learning for image recognition, CVPR 2016, section 4.2
    (option A; for its initial weights, use ``init=he_normal``); width and dropout: S. Zagoruyko, N. Komodakis, Wide
    residual networks, 2016, where norm and activation precede the convolutions; here they follow them.
    """
    need("resnet", "images", 3, input_shape)
    blocks, rest = divmod(depth - 2, 6)
    if rest:
        raise ConfigError(
            f"model.depth={depth}: a resnet has 6n + 2 layers; use model.depth={6 * blocks + 2} or {6 * blocks + 8}"
        )
    channels = [max(1, round(width * stage)) for stage in STAGES]
    layers = [*_convolution(input_shape[0], channels[0], norm), ACTIVATIONS[activation]()]
    before = channels[0]
    for stage, filters in enumerate(channels):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(_block(before, filters, stride, shortcut, norm, activation, dropout))
            before = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs))


def _convolution(before: int, filters: int, norm: Norm, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Return a convolution that preserves the size except for its stride, and its norm."""
    layer = nn.Conv2d(before, filters, kernel, stride, padding=kernel // 2, bias=norm == "none")
    return [layer, *norm_of_maps(norm, filters)]


def _block(
    before: int, filters: int, stride: int, shortcut: Shortcut, norm: Norm, activation: Activation, dropout: float
) -> Block:
    body = [*_convolution(before, filters, norm, stride=stride), ACTIVATIONS[activation]()]
    body += [ByteDropout(dropout)] if dropout else []
    body += _convolution(filters, filters, norm)
    around: nn.Module = nn.Identity()
    if stride > 1 or before != filters:
        projection = _convolution(before, filters, norm, kernel=1, stride=stride) if shortcut == "B" else []
        around = nn.Sequential(*projection) if projection else Pad(filters - before, stride)
    return Block(nn.Sequential(*body), around, ACTIVATIONS[activation]())
