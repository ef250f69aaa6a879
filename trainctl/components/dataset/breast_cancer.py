"""Breast tumours, benign or malignant, from scikit-learn."""

from trainctl.components.dataset._published import sklearn_classes
from trainctl.components.dataset.base import Dataset

MEASURES = (
    "radius", "texture", "perimeter", "area", "smoothness",
    "compactness", "concavity", "concave_points", "symmetry", "fractal_dimension",
)  # fmt: skip


def breast_cancer() -> Dataset:
    """Return 569 tumours with 30 measurements of their cells, 2 classes; nothing to download.

    Returns:
        A table ``(569, 30)``: mean, standard error and worst value of ten measures; classes ``(569,)``: malignant,
        benign.

    Source: W. N. Street, W. H. Wolberg, O. L. Mangasarian, Nuclear feature extraction for breast tumor
    diagnosis, 1993; UCI Breast Cancer Wisconsin (Diagnostic).
    """
    columns = tuple(f"{statistic}_{measure}" for statistic in ("mean", "error", "worst") for measure in MEASURES)
    return sklearn_classes("breast_cancer.csv", columns)
