"""What every augmentation returns, and the check that images are at hand."""

from collections.abc import Callable

import torch
from torch import Tensor

from trainctl.errors import ConfigError

# (batch as it is stored, generator seeded from (seed, step)) -> batch of the same shape and type
Augment = Callable[[Tensor, torch.Generator], Tensor]


def need_images(name: str, input_shape: tuple[int, ...]) -> None:
    """Raise ConfigError unless rows are images ``(C, H, W)``."""
    if len(input_shape) != 3:
        raise ConfigError(f"augment={name} needs images; this data set's rows have shape {input_shape}")
