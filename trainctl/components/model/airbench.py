"""Convolutional network of the CIFAR-10 speed records."""

from typing import Annotated

from torch import Tensor, nn

from trainctl.components.model.base import ACTIVATIONS, Activation, Norm, Width, need, norm_of_maps
from trainctl.errors import ConfigError

MOMENTUM = 0.4  # weight of a batch's statistics in the running statistics


class Times(nn.Module):
    """Multiplies values by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        """Return the values times the factor."""
        return values * self.factor

    def extra_repr(self) -> str:
        """Return the factor, for messages."""
        return str(self.factor)


def airbench(
    *,
    channels: list[Width],
    kernel_size: Width,
    norm: Norm,
    activation: Activation,
    output_factor: Annotated[float, "(0, inf)"],
    input_shape: tuple[int, ...],
    outputs: int,
) -> nn.Module:
    r"""Return the network of the CIFAR-10 speed records: a convolution for ``init=whiten``, blocks, a linear layer.

    .. math::
        h &= \phi(W * x + b) \\
        h &\leftarrow \phi(N(C_2 * \phi(N(\text{pool}_2(C_1 * h))))) \quad\text{for each block} \\
        z &= \alpha \left( A \max_\text{pixels} h + c \right)

    :math:`W` has two filters for each of the :math:`k = C s^2` values of a patch, as whitening requires, and no padding;
    the filters of the blocks are 3 x 3. Pooling comes early in a block, so that the other layers have a quarter of the
    work. Inputs are images ``(N, C, H, W)``; outputs are ``(N, outputs)``.

    Args:
        channels: Filters of each block.
        kernel_size: :math:`s`, height and width of the first filters [pixels].
        norm: :math:`N`, after each convolution of a block; with ``none``, these convolutions have biases.
        activation: :math:`\phi`.
        output_factor: :math:`\alpha` [1]; a small factor starts with outputs near 0 and slows down the linear layer.
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        outputs: Number of outputs per sample. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images, or are too small for the filters and the pooling.

    Source: K. Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024, section 3.1 and listing; based on
    T. Balsam, hlb-CIFAR10, 2023. There, the scales of batch norms are fixed at 1, and there is no :math:`c`. As there,
    each batch has a weight of 0.4 in the running statistics of batch norms, because training takes only a few hundred
    steps.
    """
    need("airbench", "images", 3, input_shape)
    depth, height, width = input_shape
    filters = 2 * depth * kernel_size**2
    layers: list[nn.Module] = [nn.Conv2d(depth, filters, kernel_size), ACTIVATIONS[activation]()]
    depth, height, width = filters, height - kernel_size + 1, width - kernel_size + 1
    for block, after in enumerate(channels, 1):
        if min(height, width) < 2:
            raise ConfigError(
                f"model=airbench: block {block} of {len(channels)} has only {max(height, 0)} x {max(width, 0)} pixels to pool:"
                " use fewer model.channels, or a smaller model.kernel_size"
            )
        layers += [_convolution(depth, after, norm), nn.MaxPool2d(2), *norm_of_maps(norm, after)]
        layers += [ACTIVATIONS[activation](), _convolution(after, after, norm), *norm_of_maps(norm, after)]
        layers += [ACTIVATIONS[activation]()]
        depth, height, width = after, height // 2, width // 2
    layers += [nn.MaxPool2d((height, width)), nn.Flatten(), nn.Linear(depth, outputs), Times(output_factor)]
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = MOMENTUM
    return nn.Sequential(*layers)


def _convolution(before: int, after: int, norm: Norm) -> nn.Module:
    return nn.Conv2d(before, after, 3, padding=1, bias=norm == "none")
