"""Random brightness, contrast and saturation."""

from typing import Annotated

import torch
from torch import Tensor

from trainctl.components.augment.base import Augment, need_images, stored, uniform
from trainctl.errors import ConfigError

Strength = Annotated[float, "[0, 1]"]


def color(*, brightness: Strength, contrast: Strength, saturation: Strength, input_shape: tuple[int, ...]) -> Augment:
    r"""Change each image's brightness, then its contrast, then its saturation, each by a random factor.

    .. math::
        x_1 = b\, x, \qquad x_2 = \bar g(x_1) + c\,(x_1 - \bar g(x_1)), \qquad x_3 = g(x_2) + s\,(x_2 - g(x_2))

    with :math:`g = 0.299 R + 0.587 G + 0.114 B` (a grey image's own value) and its mean :math:`\bar g` over
    the image. A factor is drawn evenly from :math:`1 \pm` its strength. Pixels of bytes are rounded once, at the
    end. Grey images have no saturation to change.

    Args:
        brightness: Strength of :math:`b` [1].
        contrast: Strength of :math:`c` [1].
        saturation: Strength of :math:`s` [1].
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.

    Raises:
        ConfigError: If rows are not images of one or three channels.

    Source: A. Howard, Some improvements on deep convolutional neural network based image classification,
    2013, section 2.2; as torchvision's ``ColorJitter`` in a fixed order, without hue.
    """
    need_images("color", input_shape)
    if input_shape[0] not in (1, 3):
        raise ConfigError(f"augment=color needs grey or RGB images; these have {input_shape[0]} channels")

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        strengths = (brightness, contrast, saturation)
        factors = [uniform(1 - strength, 1 + strength, len(batch), generator) for strength in strengths]
        return adjusted(batch, *factors)

    return apply


def adjusted(batch: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Apply the factors ``(N, 1, 1, 1)`` to the images of a batch."""
    images = batch.float() * brightness
    middle = _grey(images).mean((2, 3), keepdim=True)
    images = middle + contrast * (images - middle)
    if images.shape[1] == 3:
        grey = _grey(images)
        images = grey + saturation * (images - grey)
    return stored(images, batch.dtype)


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
