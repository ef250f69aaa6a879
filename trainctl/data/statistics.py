"""What all rows of a split say together: counts of classes, and the spread of their values."""

import torch
from torch import Tensor

from trainctl.components.scale.base import moments
from trainctl.data.rows import Rows

PORTION = 1 << 16  # rows whose classes are counted at once


def class_counts(rows: Rows, classes: int) -> Tensor:
    """Return how many rows each class has ``(K,)``, on the device; empty if there is nothing to classify."""
    counts = [torch.bincount(targets, minlength=classes) for _, targets in rows.portions(PORTION)] if classes else []
    return torch.stack(counts).sum(0) if counts else rows.sample(1)[1].new_zeros(0, dtype=torch.long)


def deviation(rows: Rows) -> Tensor:
    """Return the standard deviation per channel of images ``(1, C, 1, 1)``, per column of others, on the device."""
    (inputs, _), *_ = rows.portions(len(rows))
    return moments(inputs.cpu())[1].float().to(inputs.device)


def stored_type(rows: Rows) -> torch.dtype:
    """Return the type in which inputs are stored: bytes, float32, or token ids."""
    return rows.sample(1)[0].dtype
