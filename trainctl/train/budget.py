"""What is due between two steps, whether a run has ended, and its speed, all functions of its state; and the clock."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from trainctl.machine.signals import StopRequest
from trainctl.run.reporter import Row
from trainctl.run.run import Run
from trainctl.wording import amount

if TYPE_CHECKING:
    from trainctl.machine.agreed import AgreedRequest

Judge = Callable[[Row], str | None]  # an evaluation -> reason to stop training, or None to continue


class Due(NamedTuple):
    """What to do before the next step.

    Args:
        look: Evaluate the weights.
        keep: Write a checkpoint, because a user or a signal requested it.
        stop: End this session; the run is incomplete and can be resumed.
    """

    look: bool
    keep: bool
    stop: bool


class Ending(NamedTuple):
    """How training ended.

    Args:
        outcome: ``finished`` by a budget or by early stopping, or ``stopped`` by the judge.
        reason: The reason, in words.
    """

    outcome: Literal["finished", "stopped"]
    reason: str


class Clock:
    """Measures the time spent training, over all sessions of a run."""

    def __init__(self, run: Run) -> None:
        self.before, self.start = run.state.seconds, time.perf_counter()
        self.seconds: Callable[[], float] = self.measured  # the time spent training so far [s]
        if link := run.world.link:  # as the first process measures it, once in each step
            link.clock, link.seconds = self.measured, run.state.seconds
            self.seconds = lambda: link.seconds

    def measured(self) -> float:
        """Return the time spent training so far, as this process measures it [s]."""
        return self.before + time.perf_counter() - self.start


def what_is_due(run: Run, request: "StopRequest | AgreedRequest") -> Due:
    """Return what to do before the next step."""
    stop = request.received is not None or run.state.step == run.config.loop.stop_at_step
    return Due(look=evaluation_due(run), keep=stop or request.save, stop=stop)


def evaluation_due(run: Run) -> bool:
    """Return whether to evaluate the weights before the next step: at each interval, and at the end."""
    state = run.state
    return state.evaluated < state.step and (state.step % run.plan.eval_every == 0 or end_reason(run) is not None)


def samples_per_second(run: Run) -> float:
    """Return the speed since the newest evaluation began, over all sessions [samples/s]."""
    state = run.state
    return (state.step - state.evaluated) * run.rows_per_step / max(state.seconds - state.evaluated_seconds, 1e-9)


def ended(run: Run, verdict: str | None) -> Ending | None:
    """Return how training ended; None while it continues, or while the newest weights are not yet evaluated."""
    if run.state.evaluated < run.state.step:
        return None
    if reason := end_reason(run):
        return Ending("finished", reason)
    return Ending("stopped", verdict) if verdict else None


def end_reason(run: Run) -> str | None:
    """Return why the run ends now (an exhausted budget or early stopping), in words; None if it continues."""
    state, loop, stopping = run.state, run.config.loop, run.state.stopping
    if stopping.stop:
        return f"early stopping: {stopping.reason}" if stopping.reason else "early stopping"
    if loop.max_seconds is not None and state.seconds >= loop.max_seconds:
        return f"reached loop.max_time={loop.max_time}"
    if run.plan.by_clock or state.step < run.plan.total_steps:
        return None
    if loop.max_steps is not None and loop.max_steps <= state.step:
        return f"reached loop.max_steps={loop.max_steps}"
    unreached = [
        f"loop.{key}={value}"
        for key, value in (("max_steps", loop.max_steps), ("max_time", loop.max_time))
        if value is not None
    ]
    epochs = loop.epochs or 0
    done = f"completed {'' if epochs == 1 else 'all '}{amount(epochs, 'epoch')}"
    return f"{done} (before {' and '.join(unreached)}: raise loop.epochs to reach it)" if unreached else done
