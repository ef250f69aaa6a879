"""Fisher's iris flowers, from scikit-learn."""

from trainctl.components.dataset._published import sklearn_classes
from trainctl.components.dataset.base import Dataset


def iris() -> Dataset:
    """Return 150 iris flowers with 4 measurements [cm], 3 species; nothing to download.

    Returns:
        A table ``(150, 4)`` and classes ``(150,)``.

    Source: R. A. Fisher, The use of multiple measurements in taxonomic problems, 1936; UCI.
    """
    return sklearn_classes("iris.csv", ("sepal_length", "sepal_width", "petal_length", "petal_width"))
