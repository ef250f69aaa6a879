"""Progression of diabetes after a year, from scikit-learn."""

import gzip

import numpy as np
import torch
from torch import Tensor

from trainctl.components.dataset._published import sklearn_file
from trainctl.components.dataset.base import Dataset


def diabetes() -> Dataset:
    """Return 442 patients with 10 measurements and the disease's progression after a year (25..346).

    Returns:
        A table ``(442, 10)`` in its original units, and targets ``(442, 1)``.

    Source: B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, Least angle regression, 2004.
    """
    return Dataset(
        inputs=_read("diabetes_data_raw.csv.gz"),
        targets=_read("diabetes_target.csv.gz"),
        task="regression",
        input_names=("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
        target_names=("progression",),
    )


def _read(name: str) -> Tensor:
    with gzip.open(sklearn_file(name), "rt", encoding="ascii") as file:
        return torch.from_numpy(np.loadtxt(file, ndmin=2)).float().reshape(442, -1)
