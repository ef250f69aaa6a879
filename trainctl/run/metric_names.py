"""Which metrics each task has, and whether larger is better. Imports no torch."""

from collections.abc import Iterable, Mapping
from typing import Any

NAMES: dict[str, tuple[str, ...]] = {
    "classification": ("loss", "accuracy"),
    "regression": ("loss", "mae", "rmse", "r2"),
    "reconstruction": ("loss", "mae", "rmse", "r2"),
}
# Of these metrics larger values are better, also with a suffix such as that of f1_weighted; of all others smaller ones.
MAXIMIZE = {
    "accuracy", "r2", "balanced_accuracy", "precision", "recall", "f1", "auc", "average_precision", "top", "kappa",
    "matthews", "spearman",
}  # fmt: skip


def maximize(name: str) -> bool:
    """Return whether larger values of a metric, with or without its ``split/``, are better.

    >>> maximize("val/f1_weighted"), maximize("test/top_5"), maximize("loss"), maximize("val/median_error")
    (True, True, False, False)
    """
    metric = name.rpartition("/")[2]
    return any(metric == larger or metric.startswith(f"{larger}_") for larger in MAXIMIZE)


def learn(members: Mapping[str, Mapping[str, Any]] | Any) -> None:
    """Note the direction of a user's own metrics: those with a parameter ``maximize`` that is true.

    Args:
        members: The settings of the group ``metric``, by the members' names.
    """
    if isinstance(members, Mapping):
        MAXIMIZE.update(
            str(name)
            for name, settings in members.items()
            if isinstance(settings, Mapping) and settings.get("maximize") is True
        )


def available(task: str, more: Iterable[str]) -> list[str]:
    """Return the names of the metrics of a task's validation split, those of the group ``metric`` included."""
    return [f"val/{name}" for name in (*NAMES[task], *more)]
