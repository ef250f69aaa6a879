"""The training loop, read from top to bottom: step, look, keep."""

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from torch import Tensor
from torch.optim import Optimizer

from trainctl.data.order import order_on
from trainctl.machine.device import Neighbours
from trainctl.machine.signals import Stopped, StopRequest
from trainctl.run import metric_names
from trainctl.run.reporter import Reporter
from trainctl.run.run import Run
from trainctl.run.state import Best
from trainctl.train.budget import Clock, end_reason, schedule_position
from trainctl.train.checkpoint_writer import Keeper
from trainctl.train.evaluation import Check, evaluate, renew_statistics
from trainctl.train.health import REWIND_FACTOR, Health, warn

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
        NonFiniteError: If a loss, a gradient or weights are not finite; the last good state was written.
        UnavailableError: If memory ran out; the last good state was written.
        StorageError: If a checkpoint cannot be written.
    """
    state, loop, clock = run.state, run.config.loop, Clock(run)
    neighbours = Neighbours(adapt=run.config.threads == "adapt")
    keeper, saved_at = keeper or Keeper(run, directory, reporter), time.monotonic()
    with StopRequest() as request, Health(run, keeper, reporter) as health:
        source, reason = batches(run), None if state.pending else end_reason(run)
        while not reason:
            # 1. Step, unless the run was stopped in the evaluation after it.
            if not state.pending:
                set_learning_rate(run)
                if not health.step(*next(source)):
                    source = batches(run)  # from the step that the run went back to
                    continue
                state.step += 1
                state.seconds = clock.seconds()
                state.pending = end_reason(run) is not None or state.step % run.plan.eval_every == 0

            # 2. Look: the only place where the host waits for the device.
            looking, keeping = state.pending, request.save or request.received or state.step == loop.stop_at_step
            if (looking or keeping) and not health.sound():
                source = batches(run)
                continue
            if looking:
                with suppress(Stopped):
                    look(run, reporter, clock, request.check)
                    reason = end_reason(run)
                health.remember()
                if run.device.type == "cpu":
                    neighbours.look(reporter.note)
            stopped = request.received or (state.step == loop.stop_at_step and not reason)

            # 3. Keep.
            waited = time.monotonic() - saved_at
            if reason or stopped or keeping or (looking and waited >= run.config.checkpoint.every_seconds):
                keeper.save()
                saved_at, request.save = time.monotonic(), False
                stopped = stopped or request.received is not None  # it came while that was written
            if stopped:
                total = "" if run.plan.by_clock else f" of {run.plan.total_steps}"
                raise request.error(f"stopped at step {state.step}{total}; the run is saved")
        return reason


def batches(run: Run) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches as they are stored, from the run's position on, without end; the order is f(seed, epoch)."""
    rows, plan = run.data.splits["train"], run.plan
    together = max(1, GATHERED_BYTES // (plan.batch_size * rows.inputs[0].nbytes))
    while True:
        epoch, position = divmod(run.state.step, plan.steps_per_epoch)
        if plan.steps_per_epoch == 1:  # a full batch has no order
            yield rows.inputs, rows.targets
            continue
        order = order_on(run.device, len(rows), run.config.seed, epoch)
        for several in order[position * plan.batch_size :].split(together * plan.batch_size):
            inputs, targets = rows.inputs.index_select(0, several), rows.targets.index_select(0, several)
            yield from zip(inputs.split(plan.batch_size), targets.split(plan.batch_size), strict=True)


def set_learning_rate(run: Run) -> None:
    """Set every group's rate for the coming step: its own base rate times the schedule's multiplier."""
    position = schedule_position(run)
    multiplier = run.schedule.multiplier(position) * run.state.reaction.factor * REWIND_FACTOR**run.state.rewinds
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


def look(run: Run, reporter: Reporter, clock: Clock, check: Check = lambda: None) -> None:
    """Evaluate, update best and early stopping, and tell the reporter.

    Raises:
        Stopped: From ``check``, if a signal came before it was done; nothing has changed then, and it can be repeated.
    """
    state, config = run.state, run.config
    speed = clock.samples_per_second(run)
    found = {f"train/{name}": value for name, value in run.sums.values().items()}
    renew_statistics(run, check)
    found |= evaluate(run, "val", check)
    run.sums.reset()
    state.pending = False
    state.first_loss = warn(run, found, reporter.note)
    keep_best(run, found[config.monitor])
    watched = found[config.monitored("early_stopping")]
    state.stopping = run.early_stopping(state.stopping, watched, int(run.epoch), state.seconds)
    state.reaction = run.schedule.react(state.reaction, found[config.monitored("schedule")])
    state.seconds = clock.seconds()
    position = {"step": state.step, "epoch": run.epoch, "seconds": state.seconds, "lr": run.learning_rate}
    left_out = {"skipped": state.skipped} if state.skipped else {}
    reporter.evaluation(position | left_out | {"samples_per_second": speed} | found)


def keep_best(run: Run, value: float) -> None:
    """Remember the evaluated weights if the monitored metric has improved; what is not finite never has."""
    state, sign = run.state, -1 if metric_names.maximize(run.config.monitor) else 1
    if math.isfinite(value) and (state.best is None or sign * value < sign * state.best.value):
        state.best = Best(value, state.step, run.epoch)
        state.best_weights = {key: tensor.detach().clone() for key, tensor in run.average.model.state_dict().items()}
