"""What ends a run, and where on its schedule it stands. Pure functions of a run's state, and its clock."""

import time

from trainctl.run.run import Run


class Clock:
    """Counts training time over all sessions, and the speed since the last look."""

    def __init__(self, run: Run) -> None:
        self.before, self.start = run.state.seconds, time.perf_counter()
        self.mark = (run.state.step, self.start)

    def seconds(self) -> float:
        """Return the time spent training [s]."""
        return self.before + time.perf_counter() - self.start

    def samples_per_second(self, run: Run) -> float:
        """Return the speed since the call before [samples/s]."""
        (step_before, before), now = self.mark, time.perf_counter()
        self.mark = (run.state.step, now)
        rows = len(run.data.splits["train"])
        return (run.state.step - step_before) * rows / run.plan.steps_per_epoch / max(now - before, 1e-9)


def schedule_position(run: Run) -> int:
    """Return where on the schedule the run is: its step, or further if the clock is to end it before."""
    budget = run.config.loop.max_seconds
    if budget is None:
        return run.state.step
    by_time = int(min(1.0, run.state.seconds / budget) * run.plan.total_steps)
    return by_time if run.plan.by_clock else max(run.state.step, by_time)


def end_reason(run: Run) -> str | None:
    """Say what ends the run now: a budget that is spent, or early stopping; None if it goes on."""
    state, loop, stopping = run.state, run.config.loop, run.state.stopping
    if stopping.stop:
        return f"early stopping: {stopping.reason}" if stopping.reason else "early stopping"
    if loop.max_seconds is not None and state.seconds >= loop.max_seconds:
        return f"loop.max_time={loop.max_time} is spent"
    if run.plan.by_clock or state.step < run.plan.total_steps:
        return None
    if loop.max_steps == state.step:
        return f"loop.max_steps={loop.max_steps} is reached"
    unspent = [
        f"loop.{key}={value}"
        for key, value in (("max_steps", loop.max_steps), ("max_time", loop.max_time))
        if value is not None
    ]
    return f"all {loop.epochs} epochs are done" + (
        f" (before {' and '.join(unspent)}: raise loop.epochs to use it)" if unspent else ""
    )
