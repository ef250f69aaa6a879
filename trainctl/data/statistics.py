"""Statistics over the rows of a split: rows per class, and the standard deviation of the inputs."""

import torch
from torch import Tensor

from trainctl.components.augment.base import common_range
from trainctl.components.scale.base import moments, summary_of
from trainctl.data.rows import Rows
from trainctl.fileformat.stored import PORTION_BYTES

PORTION = 1 << 16  # rows whose classes are counted at once


def class_counts(rows: Rows, classes: int) -> Tensor:
    """Return how many rows each class has ``(K,)``, on the device; empty if there are no classes."""
    counts = [torch.bincount(targets, minlength=classes) for targets in rows.targets.split(PORTION)] if classes else []
    return torch.stack(counts).sum(0) if counts else rows.targets.new_zeros(0, dtype=torch.long)


def deviation(rows: Rows) -> Tensor:
    """Return the standard deviation of the inputs, per channel of images ``(1, C, 1, 1)``, else per column, on the device."""
    if not rows.resident:
        return summary_of(inputs.cpu() for inputs, _ in rows.portions(_portion(rows))).moments[1].float()
    (inputs, _), *_ = rows.portions(len(rows))
    return moments(inputs.cpu())[1].float().to(inputs.device)


def pixel_limits(rows: Rows) -> tuple[float, float]:
    """Return the range of the pixels of images: 0..255 for bytes, for others the usual range that contains them all."""
    if stored_type(rows) == torch.uint8:
        return 0.0, 255.0
    extremes = [(float(inputs.min()), float(inputs.max())) for inputs, _ in rows.portions(_portion(rows))]
    return common_range(min(low for low, _ in extremes), max(high for _, high in extremes))


def _portion(rows: Rows) -> int:
    """Return how many rows are looked at together: some megabytes, where they are read from disk."""
    return PORTION if rows.resident else max(1, min(PORTION, PORTION_BYTES * len(rows) // rows.nbytes))


def stored_type(rows: Rows) -> torch.dtype:
    """Return the dtype in which inputs are stored: uint8 images, float32 numbers, or int64 token ids."""
    return rows.sample(1)[0].dtype
