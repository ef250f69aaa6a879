"""The training loop, read from top to bottom: step, look, keep."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor
from torch.optim import Optimizer

from trainctl import metric_names, step
from trainctl.budget import Clock, end_reason, schedule_position
from trainctl.device import Neighbours
from trainctl.errors import NonFiniteError
from trainctl.evaluation import evaluate, renew_statistics
from trainctl.report.base import Reporter
from trainctl.run import Run
from trainctl.saving import Keeper
from trainctl.signals import StopRequest
from trainctl.splits import epoch_order
from trainctl.state import Best

GATHERED_BYTES = 1 << 20  # of the batches that are picked from the data at once: few calls, and still in the cache


def train(run: Run, directory: Path, reporter: Reporter, keeper: Keeper | None = None) -> str:
    """Train until a budget is spent or early stopping ends it; return which, in words.

    Args:
        run: As assembled, or restored.
        directory: Where it is kept.
        reporter: Is told what happens.
        keeper: Writes the checkpoints; one of its own if None.

    Raises:
        Interrupted, Terminated: If a signal or ``loop.stop_at_step`` ended it; a checkpoint was written.
        NonFiniteError: If the loss is not finite; the newest checkpoint is the last good state.
        StorageError: If a checkpoint cannot be written.
    """
    if reason := end_reason(run):
        return reason
    state, loop, take_step, clock = run.state, run.config.loop, step.make(run, reporter.detail), Clock(run)
    neighbours = Neighbours(adapt=run.config.threads == "adapt")
    keeper, saved_at = keeper or Keeper(run, directory, reporter), time.monotonic()
    with StopRequest() as request:
        for inputs, targets in batches(run):
            # 1. Step.
            set_learning_rate(run)
            take_step(inputs, targets)
            state.step += 1
            state.seconds = clock.seconds()

            # 2. Look: the only place where the host waits for the device.
            reason = end_reason(run)
            if looking := reason is not None or state.step % run.plan.eval_every == 0:
                look(run, reporter, clock)
                if run.device.type == "cpu":
                    neighbours.look(reporter.note)
                reason = reason or end_reason(run)
            stopped = request.received is not None or state.step == loop.stop_at_step

            # 3. Keep.
            waited = time.monotonic() - saved_at
            if reason or stopped or (looking and waited >= run.config.checkpoint.every_seconds):
                keeper.save()
                saved_at = time.monotonic()
            if reason:
                return reason
            if stopped:
                total = "" if run.plan.by_clock else f" of {run.plan.total_steps}"
                raise request.error(f"stopped at step {state.step}{total}; the run is saved")
    raise AssertionError("batches have no end")


def batches(run: Run) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches as they are stored, from the run's position on, without end; the order is f(seed, epoch)."""
    rows, plan = run.data.splits["train"], run.plan
    together = max(1, GATHERED_BYTES // (plan.batch_size * rows.inputs[0].nbytes))
    while True:
        epoch, position = divmod(run.state.step, plan.steps_per_epoch)
        if plan.steps_per_epoch == 1:  # a full batch has no order
            yield rows.inputs, rows.targets
            continue
        order = epoch_order(len(rows), run.config.seed, epoch).to(run.device)
        for several in order[position * plan.batch_size :].split(together * plan.batch_size):
            inputs, targets = rows.inputs.index_select(0, several), rows.targets.index_select(0, several)
            yield from zip(inputs.split(plan.batch_size), targets.split(plan.batch_size), strict=True)


def set_learning_rate(run: Run) -> None:
    """Set every group's rate for the coming step: its own base rate times the schedule's multiplier."""
    position = schedule_position(run)
    multiplier = run.schedule.multiplier(position) * run.state.reaction.factor
    for group in run.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * multiplier
    if run.schedule.momentum:
        set_momentum(run.optimizer, run.schedule.momentum(position))


def set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """Set every group's momentum or beta1, where it has one that is not 0."""
    for group in optimizer.param_groups:
        if group.get("momentum"):
            group["momentum"] = momentum
        elif "betas" in group and group["betas"][0]:
            group["betas"] = (momentum, *group["betas"][1:])


def look(run: Run, reporter: Reporter, clock: Clock) -> None:
    """Evaluate, update best and early stopping, and tell the reporter.

    Raises:
        NonFiniteError: If the mean training loss since the last look is not finite.
    """
    state, config = run.state, run.config
    speed = clock.samples_per_second(run)
    found = {f"train/{name}": value for name, value in run.sums.values().items()}
    run.sums.reset()
    if not math.isfinite(loss := found["train/loss"]):
        raise NonFiniteError(
            f"the training loss is {loss} at step {state.step}: try a smaller optimizer.lr or loop.clip_norm=1"
        )
    renew_statistics(run)
    found |= evaluate(run, "val")
    keep_best(run, found[config.monitor])
    watched = found[config.monitored("early_stopping")]
    state.stopping = run.early_stopping(state.stopping, watched, int(run.epoch), state.seconds)
    state.reaction = run.schedule.react(state.reaction, found[config.monitored("schedule")])
    state.seconds = clock.seconds()
    position = {"step": state.step, "epoch": run.epoch, "seconds": state.seconds, "lr": run.learning_rate}
    reporter.evaluation(position | {"samples_per_second": speed} | found)


def keep_best(run: Run, value: float) -> None:
    """Remember the evaluated weights if the monitored metric has improved; NaN never has."""
    state, sign = run.state, -1 if metric_names.maximize(run.config.monitor) else 1
    if not math.isnan(value) and (state.best is None or sign * value < sign * state.best.value):
        state.best = Best(value, state.step, run.epoch)
        state.best_weights = {key: tensor.detach().clone() for key, tensor in run.average.model.state_dict().items()}
