"""Handwritten digits of 8 x 8 pixels, from scikit-learn."""

import gzip

import numpy as np
import torch

from trainctl.components.dataset._published import sklearn_file
from trainctl.components.dataset.base import Dataset


def digits() -> Dataset:
    """Return 1,797 handwritten digits of 8 x 8 pixels, 10 classes; nothing to download.

    The 17 grey levels 0..16 are scaled to 0..255, so that pixels are uint8 as in every other image data set;
    ``round(level * 255 / 16)`` loses no information.

    Returns:
        Images ``(1797, 1, 8, 8)`` and classes ``(1797,)``.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test set).
    """
    with gzip.open(sklearn_file("digits.csv.gz"), "rt", encoding="ascii") as file:
        rows = np.loadtxt(file, delimiter=",")
    pixels = np.rint(rows[:, :-1] * (255 / 16)).astype(np.uint8)
    return Dataset(
        inputs=torch.from_numpy(pixels).reshape(-1, 1, 8, 8),
        targets=torch.from_numpy(rows[:, -1]).long(),
        task="classification",
        class_names=tuple(str(digit) for digit in range(10)),
    )
