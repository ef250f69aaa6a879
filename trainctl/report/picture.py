"""Rows of pixels as arrays that matplotlib can draw: the images of a data set, not plots (:mod:`trainctl.report.figure`)."""

import numpy as np
import torch
from torch import Tensor


def picture(stored: Tensor) -> np.ndarray:
    """Return an image ``(C, H, W)`` as ``(H, W)`` or ``(H, W, 3)`` in 0..1; channels that are no colours are averaged.

    Bytes are in 0..255; other numbers are stretched from the smallest to the largest.
    """
    values = stored.detach().cpu().float()
    low, high = (0.0, 255.0) if stored.dtype == torch.uint8 else (float(values.min()), float(values.max()))
    values = ((values - low) / max(high - low, 1e-12)).clamp(0, 1)
    shown: np.ndarray = values.permute(1, 2, 0).numpy() if len(values) == 3 else values.mean(0).numpy()
    return shown
