"""No scaling."""

import torch
from torch import Tensor

from trainctl.components.scale.base import Affine, pooled_dimensions


def none(*, values: Tensor, summary: object = None) -> Affine:
    """Leave values unscaled: pixels stay in 0..255, tables keep their units."""
    shape = [1 if dimension in pooled_dimensions(values) else size for dimension, size in enumerate(values.shape)]
    return Affine(torch.ones(shape), torch.zeros(shape))
