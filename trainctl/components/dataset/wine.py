"""Chemical analyses of wines, from scikit-learn."""

from trainctl.components.dataset._published import sklearn_classes
from trainctl.components.dataset.base import Dataset

COLUMNS = (
    "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
    "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280_od315", "proline",
)  # fmt: skip


def wine() -> Dataset:
    """Return 178 wines with 13 chemical measurements, 3 growers; nothing to download.

    Returns:
        A table ``(178, 13)`` and classes ``(178,)``.

    Source: M. Forina et al., PARVUS, 1988; UCI Wine.
    """
    return sklearn_classes("wine_data.csv", COLUMNS)
