"""Statistics over the rows of a split: rows per class, and the standard deviation of the inputs."""

import torch
from torch import Tensor

from trainctl.components.scale.base import moments
from trainctl.data.rows import Rows

PORTION = 1 << 16  # rows whose classes are counted at once


def class_counts(rows: Rows, classes: int) -> Tensor:
    """Return how many rows each class has ``(K,)``, on the device; empty if there are no classes."""
    counts = [torch.bincount(targets, minlength=classes) for _, targets in rows.portions(PORTION)] if classes else []
    return torch.stack(counts).sum(0) if counts else rows.sample(1)[1].new_zeros(0, dtype=torch.long)


def deviation(rows: Rows) -> Tensor:
    """Return the standard deviation of the inputs, per channel of images ``(1, C, 1, 1)``, else per column, on the device."""
    (inputs, _), *_ = rows.portions(len(rows))
    return moments(inputs.cpu())[1].float().to(inputs.device)


def stored_type(rows: Rows) -> torch.dtype:
    """Return the dtype in which inputs are stored: uint8 images, float32 numbers, or int64 token ids."""
    return rows.sample(1)[0].dtype
