"""The learning rate of a step, a pure function of its place on the schedule and of what the state remembers; and its setting.

Whatever sets, shows or records a rate asks here, and not the optimizer: in that, the rate is stale before the first step of
a session, and wherever the run went back to an earlier state.
"""

from torch.optim import Optimizer

from trainctl.run.run import Run

REWIND_FACTOR = 0.5  # of the learning rate, at every rewind


def schedule_position(run: Run) -> int:
    """Return where on the schedule the coming step is: its number, or further if the clock is to end the run sooner."""
    budget = run.config.loop.max_seconds
    if budget is None:
        return run.state.step
    by_time = int(min(1.0, run.state.seconds / budget) * run.plan.total_steps)
    return by_time if run.plan.by_clock else max(run.state.step, by_time)


def multiplier(run: Run, position: int) -> float:
    """Return what the base rates of all groups are multiplied by, with the reaction and the rewinds of the state.

    Args:
        run: Whose schedule and state.
        position: On the schedule [optimizer steps].
    """
    return run.schedule.multiplier(position) * run.state.reaction.factor * REWIND_FACTOR**run.state.rewinds


def learning_rate(run: Run, position: int) -> float:
    """Return the learning rate of the first group of weights, which is the one that is reported.

    Args:
        run: Whose schedule and state.
        position: On the schedule [optimizer steps]: :func:`schedule_position` of the coming step, ``run.state.position``
            of the newest one. Unless the clock is to end the run, both are numbers of steps, counted from 0.
    """
    base: float = run.optimizer.param_groups[0]["initial_lr"]
    return base * multiplier(run, position)


def set_learning_rate(run: Run) -> None:
    """Set the rate of every group of weights for the coming step, and the momentum if the schedule moves that too."""
    run.state.position = schedule_position(run)
    factor = multiplier(run, run.state.position)
    for group in run.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    if run.schedule.momentum:
        set_momentum(run.optimizer, run.schedule.momentum(run.state.position))


def set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """Set every group's momentum or beta1, where it has one that is not 0."""
    for group in optimizer.param_groups:
        if group.get("momentum"):
            group["momentum"] = momentum
        elif "betas" in group and group["betas"][0]:
            group["betas"] = (momentum, *group["betas"][1:])
