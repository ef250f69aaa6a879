"""How many optimizer steps a run has, and how large its batches are."""

import math

from trainctl.run.run import Plan
from trainctl.settings.config import Config

# If only loop.max_time ends a run, its schedule is planned for this many epochs.
EPOCHS_BY_CLOCK = 100


def make_plan(config: Config, rows: int, without_label: int = 0) -> Plan:
    """Convert the run's budget into optimizer steps.

    Args:
        config: The run's configuration.
        rows: Number of training rows with a label.
        without_label: Number of training rows without one.
    """
    loop = config.loop
    batch_size = rows if loop.batch_size == "full" else min(loop.batch_size, rows)
    steps_per_epoch, unlabeled_size = math.ceil(rows / batch_size), 0
    if without_label:  # a user's own teacher may have no such key
        factor = int(config.parts["teacher"].get("unlabeled_factor", 1))
        unlabeled_size = without_label if loop.batch_size == "full" else min(factor * batch_size, without_label)
        steps_per_epoch = max(steps_per_epoch, math.ceil(without_label / unlabeled_size))
    budgets = [loop.max_steps, None if loop.epochs is None else loop.epochs * steps_per_epoch]
    limits = [budget for budget in budgets if budget is not None]
    total = min(limits, default=EPOCHS_BY_CLOCK * steps_per_epoch)
    every = loop.eval_every_steps or steps_per_epoch
    return Plan(batch_size, steps_per_epoch, total, every, by_clock=not limits, unlabeled_size=unlabeled_size)
