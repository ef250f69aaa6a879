"""Random brightness, contrast and saturation."""

from typing import Annotated

import torch
from torch import Tensor

from trainctl.components.augment.base import Augment, Limits, need_images, pixel_range, stored, uniform
from trainctl.errors import ConfigError
from trainctl.wording import amount

Strength = Annotated[float, "[0, 1]"]


def color(
    *,
    brightness: Strength,
    contrast: Strength,
    saturation: Strength,
    input_shape: tuple[int, ...],
    pixel_limits: Limits | None = None,
) -> Augment:
    r"""Change the brightness, contrast and saturation of each image by random factors, in this order.

    .. math::
        x_1 = b\, x, \qquad x_2 = \bar g(x_1) + c\,(x_1 - \bar g(x_1)), \qquad x_3 = g(x_2) + s\,(x_2 - g(x_2))

    with :math:`g = 0.299 R + 0.587 G + 0.114 B` (for a grey image, its value) and its mean :math:`\bar g` over
    the image. Each factor is drawn uniformly from :math:`1 \pm` its strength. Pixels are counted from the lowest of their
    range; they are clipped to the range, and bytes rounded, once, at the end. Grey images have no saturation.

    Args:
        brightness: Strength of :math:`b` [1].
        contrast: Strength of :math:`c` [1].
        saturation: Strength of :math:`s` [1].
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        pixel_limits: Returns the range of the pixels. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images with one or three channels.

    Source: A. Howard, Some improvements on deep convolutional neural network based image classification,
    2013, section 2.2; like torchvision's ``ColorJitter`` with a fixed order and without hue.
    """
    need_images("color", input_shape)
    if input_shape[0] not in (1, 3):
        raise ConfigError(
            f"augment=color needs grey or RGB images; these images have {amount(input_shape[0], 'channel')}"
        )

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        strengths = (brightness, contrast, saturation)
        factors = [uniform(1 - strength, 1 + strength, len(batch), generator) for strength in strengths]
        return adjusted(batch, factors[0], factors[1], factors[2], pixel_range(batch, pixel_limits))

    return apply


def adjusted(
    batch: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, pixels: tuple[float, float] = (0.0, 255.0)
) -> Tensor:
    """Apply the factors ``(N, 1, 1, 1)`` to the images of a batch, whose black is the lowest pixel of the range."""
    black = pixels[0]
    images = (batch.float() - black) * brightness
    mean = _grey(images).mean((2, 3), keepdim=True)
    images = mean + contrast * (images - mean)
    if images.shape[1] == 3:
        grey = _grey(images)
        images = grey + saturation * (images - grey)
    return stored(images + black, batch.dtype, pixels)


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
