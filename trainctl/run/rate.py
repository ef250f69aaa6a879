"""Compute and set the learning rate of a step, a pure function of the position on the schedule and of the train state.

All code that sets, shows or records a rate uses this module. The rate in the optimizer is outdated before the first step of
a session, and after the run went back to an earlier state.
"""

from torch.optim import Optimizer

from trainctl.run.run import Run

REWIND_FACTOR = 0.5  # factor on the learning rate at every rewind


def schedule_position(run: Run) -> int:
    """Return the next step's position on the schedule [optimizer steps].

    It is the step's number, or a larger one if loop.max_time is expected to end the run before its last step.
    """
    budget = run.config.loop.max_seconds
    if budget is None:
        return run.state.step
    by_time = int(min(1.0, run.state.seconds / budget) * run.plan.total_steps)
    return by_time if run.plan.by_clock else max(run.state.step, by_time)


def multiplier(run: Run, position: int) -> float:
    """Return the factor on the base rates of all parameter groups: of the schedule, its reaction, and rewinds.

    Args:
        run: The run.
        position: Position on the schedule [optimizer steps].
    """
    return run.schedule.multiplier(position) * run.state.reaction.factor * REWIND_FACTOR**run.state.rewinds


def learning_rate(run: Run, position: int) -> float:
    """Return the learning rate of the first parameter group, which is the one that is reported.

    Args:
        run: The run.
        position: Position on the schedule [optimizer steps]: :func:`schedule_position` for the next step,
            ``run.state.position`` for the newest one. Without loop.max_time, both are step numbers, counted from 0.
    """
    base: float = run.optimizer.param_groups[0]["initial_lr"]
    return base * multiplier(run, position)


def set_learning_rate(run: Run) -> None:
    """Set the next step's learning rate in every parameter group, and its momentum if the schedule changes that, too."""
    run.state.position = schedule_position(run)
    factor = multiplier(run, run.state.position)
    for group in run.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    if run.schedule.momentum:
        set_momentum(run.optimizer, run.schedule.momentum(run.state.position))


def set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """Set momentum or beta1 in every parameter group where it is not 0."""
    for group in optimizer.param_groups:
        if group.get("momentum"):
            group["momentum"] = momentum
        elif "betas" in group and group["betas"][0]:
            group["betas"] = (momentum, *group["betas"][1:])
