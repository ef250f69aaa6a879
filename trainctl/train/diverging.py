"""Notice that the training loss grows, or that the monitored metric is not finite."""

import math
from collections.abc import Callable, Mapping

from trainctl.run.run import Run

DIVERGED = 10.0  # times the training loss up to the first evaluation


def warn(run: Run, metrics: Mapping[str, float], note: Callable[[str], None]) -> float | None:
    """Report a training loss that has grown far above the first one, and a monitored metric that is not finite.

    Returns:
        The first finite training loss, with which later ones are compared; None if there is none yet.
    """
    state, value = run.state, metrics[run.config.monitor]
    loss = metrics.get("train/loss", math.nan)
    if not math.isfinite(value):
        note(f"{run.config.monitor} is {value} at step {state.step}, so this evaluation cannot be the best")
    if state.first_loss is None and math.isfinite(loss):
        return loss
    if state.first_loss is not None and loss > DIVERGED * state.first_loss > 0:
        note(
            f"diverging: train/loss is {loss:g} at step {state.step}, and was {state.first_loss:g} at the first evaluation:"
            " try a smaller optimizer.lr or loop.clip_norm=1"
        )
    return state.first_loss
