"""Made-up trials of a sweep, for the tests of its answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainctl.sweep.trial import Trial


def trial(point: int = 0, words: Sequence[str] = (), seed: int | None = None, **more: object) -> Trial:
    """Return a finished trial with a value."""
    replicate = () if seed is None else (f"seed={seed}",)
    directory = Path(f"runs/sweep/{point}-{seed or 0}")
    usual: dict[str, Any] = {
        "directory": directory, "status": "finished", "value": 0.5, "seconds": 10.0, "step": 100, "epoch": 10.0,
        "parameters": 1000,
    }  # fmt: skip
    return Trial(point, tuple(words), replicate, **(usual | more))


def sweep(values: Mapping[str, Sequence[float | None]], key: str = "optimizer.lr", **more: object) -> list[Trial]:
    """Return the trials of a sweep of one key: for each value of the key, the metric of each seed; None failed."""
    return [
        trial(point, [f"{key}={value}"], seed if len(metrics) > 1 else None, value=metric, **more)
        if metric is not None
        else trial(point, [f"{key}={value}"], seed, value=None, status="failed", reason="the loss is nan", **more)
        for point, (value, metrics) in enumerate(values.items())
        for seed, metric in enumerate(metrics)
    ]
