"""Which metrics each task has, and whether larger is better. Imports no torch."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

NAMES: dict[str, tuple[str, ...]] = {
    "classification": ("loss", "accuracy"),
    "regression": ("loss", "mae", "rmse", "r2"),
    "reconstruction": ("loss", "mae", "rmse", "r2"),
}
# Of these metrics larger values are better, also with a suffix such as that of f1_weighted; of all others smaller ones.
MAXIMIZE = (
    "accuracy", "r2", "balanced_accuracy", "precision", "recall", "f1", "auc", "average_precision", "top", "kappa",
    "matthews", "spearman",
)  # fmt: skip


def maximize(name: str, own: Collection[str] = ()) -> bool:
    """Return whether larger values of a metric, with or without its ``split/``, are better.

    Args:
        name: Its name, perhaps with a suffix.
        own: The user's own metrics of which larger values are better, see :func:`own_maximized`.

    >>> maximize("val/f1_weighted"), maximize("test/top_5"), maximize("loss"), maximize("val/median_error")
    (True, True, False, False)
    >>> maximize("val/profit", {"profit"}), maximize("val/profit")
    (True, False)
    """
    metric = name.rpartition("/")[2]
    return any(metric == larger or metric.startswith(f"{larger}_") for larger in (*MAXIMIZE, *own))


def own_maximized(members: Mapping[str, Mapping[str, Any]] | Any) -> frozenset[str]:
    """Return the user's own metrics of which larger values are better: those with a parameter ``maximize`` that is true.

    Args:
        members: The settings of the group ``metric``, by the members' names, as `config.yaml` has them; may be damaged.

    >>> own_maximized({"profit": {"name": "profit", "maximize": True}, "f1": {"name": "f1"}})
    frozenset({'profit'})
    """
    if not isinstance(members, Mapping):
        return frozenset()
    return frozenset(
        str(name)
        for name, settings in members.items()
        if isinstance(settings, Mapping) and settings.get("maximize") is True
    )


def available(task: str, more: Iterable[str]) -> list[str]:
    """Return the names of the metrics of a task's validation split, those of the group ``metric`` included."""
    return [f"val/{name}" for name in (*NAMES[task], *more)]
