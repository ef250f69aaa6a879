"""No augmentation."""

import torch
from torch import Tensor

from trainctl.components.augment.base import Augment


def none() -> Augment:
    """Return batches as they are."""

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        return batch

    return apply
