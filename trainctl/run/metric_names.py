"""Which metrics each task has, and whether larger is better. Imports no torch."""

NAMES: dict[str, tuple[str, ...]] = {
    "classification": ("loss", "accuracy"),
    "regression": ("loss", "mae", "rmse", "r2"),
    "reconstruction": ("loss", "mae", "rmse", "r2"),
}
MAXIMIZE = frozenset({"accuracy", "r2"})


def maximize(name: str) -> bool:
    """Return whether larger values of a metric, with or without its ``split/``, are better."""
    return name.rpartition("/")[2] in MAXIMIZE
