"""No augmentation."""

import torch
from torch import Tensor

from trainctl.components.augment.base import Augment


def none() -> Augment:
    """Leave batches unchanged."""

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        return batch

    return apply
