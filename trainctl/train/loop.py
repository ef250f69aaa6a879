"""The training loop: evaluate if due, save if due, take a step.

N steps take N + 1 iterations. Each iteration begins between two steps, the point at which a run is started, saved,
stopped and resumed, so a resumed run enters the loop where the previous session left it.
"""

import math
import time

from trainctl.machine.cpu import ThreadMonitor
from trainctl.machine.device import kept_generators
from trainctl.machine.signals import Stopped, StopRequest
from trainctl.run.model import held
from trainctl.run.rate import learning_rate, set_learning_rate
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run
from trainctl.run.state import Best
from trainctl.store.runpath import AnyPath
from trainctl.train.budget import Clock, Ending, Judge, ended, samples_per_second, what_is_due
from trainctl.train.checkpoint_writer import Writer, writer_for
from trainctl.train.diverging import warn
from trainctl.train.evaluation import Check, evaluate, renew_statistics
from trainctl.train.health import Health
from trainctl.train.heartbeat import Heartbeat
from trainctl.train.together import compare_weights


def train(
    run: Run, directory: AnyPath, reporter: Reporter, writer: Writer | None = None, judge: Judge = lambda row: None
) -> Ending:
    """Train until a budget is exhausted, or early stopping or the judge ends training.

    Args:
        run: A run that was just assembled or restored.
        directory: Run directory.
        reporter: Receives messages and metrics.
        writer: Writes checkpoints; None to write them into the run directory.
        judge: Called after each evaluation; returns a reason to stop, or None.

    Raises:
        Interrupted, Terminated: If a signal or ``loop.stop_at_step`` ended the session; a checkpoint was written.
        NonFiniteError: If a loss, a gradient or weights are not finite; the last good state was written.
        UnavailableError: If memory ran out; the last good state was written.
        StorageError: If a checkpoint cannot be written.
    """
    state, clock, monitor = run.state, Clock(run), ThreadMonitor(run.device, adapt=run.config.threads == "adapt")
    begun, saved_at, writer = state.step, time.monotonic(), writer or writer_for(run, directory, reporter)
    heartbeat = Heartbeat(run, reporter)
    with StopRequest() as received, Health(run, writer, reporter) as health:
        request = run.world.agreed(received)
        source = run.order.batches(state.step)
        while True:
            due = what_is_due(run, request)
            if (due.look or due.keep) and not health.check_or_go_back():
                source = run.order.batches(state.step)  # start at the step to which the run went back
                continue

            # 1. Evaluate; on a GPU, only here does the host wait for the device.
            verdict = None
            if due.look:
                try:
                    verdict = run.world.of_first(judge(look(run, reporter, clock, request.check)))
                except Stopped:  # the evaluation stays due, and is repeated when the run is resumed
                    request.settle()
                health.remember()
                monitor.check(reporter.note)

            # 2. Save; an evaluation at the start of a session is saved at once, so that no rewind goes back before it.
            ending = ended(run, verdict)
            stop = request.received is not None or (due.stop and ending is None)
            waited = due.look and run.world.of_first(time.monotonic() - saved_at >= run.config.checkpoint.every_seconds)
            if due.keep or stop or (due.look and (ending or waited or state.step == begun)):
                writer.save()
                saved_at, request.save = time.monotonic(), False
                stop = stop or request.received is not None  # received while the checkpoint was written
            if stop:
                total = "" if run.plan.by_clock else f" of {run.plan.total_steps}"
                raise request.error(f"stopped at step {state.step}{total}; the run is saved")
            if ending:
                return ending

            # 3. Step.
            set_learning_rate(run)
            if not health.step(*next(source)):
                source = run.order.batches(state.step)
                continue
            state.step += 1
            state.seconds = clock.seconds()
            heartbeat.beat()


@kept_generators()
def look(run: Run, reporter: Reporter, clock: Clock, check: Check = lambda: None) -> Row:
    """Evaluate, update the best weights, early stopping and the schedule's reaction, report, and return the row.

    Raises:
        Stopped: From ``check``, if a signal was received during the evaluation; nothing has changed then.
    """
    state, config = run.state, run.config
    compare_weights(run)
    # 1. Measure, before changing anything on which the measurements depend.
    rate, speed = learning_rate(run, state.position), samples_per_second(run)
    metrics = {f"train/{name}": value for name, value in run.sums.values().items()}
    renew_statistics(run, check)
    metrics |= evaluate(run.evaluation, "val", check)
    # 2. Update the state; no signal interrupts this.
    run.sums.reset()
    state.evaluated, state.evaluated_seconds = state.step, state.seconds
    state.first_loss = warn(run, metrics, reporter.note)
    keep_best(run, metrics[config.monitor])
    watched = metrics[config.monitored("early_stopping")]
    if run.compressed:  # until then, the metric becomes worse because weights are removed
        state.stopping = run.early_stopping(state.stopping, watched, int(run.epoch), state.seconds)
    state.reaction = run.schedule.react(state.reaction, metrics[config.monitored("schedule")])
    state.seconds = clock.seconds()
    position = {"step": state.step, "epoch": run.epoch, "seconds": state.seconds, "lr": rate}
    skipped = {"skipped": state.skipped} if state.skipped else {}
    row = position | skipped | {"samples_per_second": speed} | metrics
    reporter.evaluation(row)
    return row


def keep_best(run: Run, value: float) -> None:
    """Keep a copy of the evaluated weights if the monitored metric is finite and has improved.

    Weights that are as small as compression is to make them are better than all weights before.
    """
    state, sign, compressed = run.state, -1 if run.evaluation.maximizes(run.config.monitor) else 1, run.compressed
    if not math.isfinite(value):
        return
    first = state.best is None or (compressed and state.best_uncompressed)
    if first or (state.best and sign * value < sign * state.best.value):
        state.best, state.best_uncompressed = Best(value, state.step, run.epoch), not compressed
        state.best_weights = {key: tensor.detach().clone() for key, tensor in held(run.average.model).items()}
