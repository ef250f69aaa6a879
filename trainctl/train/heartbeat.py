"""Tell the reporters from time to time how far training is, between evaluations, without making it wait."""

from typing import Any

import torch

from trainctl.fileformat.waiting import Wait
from trainctl.run.rate import learning_rate, schedule_position
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run
from trainctl.train.budget import samples_per_second

EVERY = 1.0  # seconds between readings; one takes about 0.1 ms


class StepCounter(Reporter):
    """Shows how far a run is that is repeated, and whose evaluations are not shown.

    Args:
        wait: What is shown; its total is a number of steps.
        begin: The step to count from.
    """

    def __init__(self, wait: Wait, begin: int = 0) -> None:
        self.wait, self.begin = wait, begin

    def heartbeat(self, row: Row) -> None:
        """Count the steps."""
        self.wait.done = int(row["step"]) - self.begin

    def evaluation(self, row: Row) -> None:
        """Count the steps."""
        self.heartbeat(row)


class Heartbeat:
    """Reports the mean training loss since the newest evaluation about once a second.

    It is read from the running sums, which are on the device. A GPU copies them in its own time, and the copy is
    reported once it has arrived, so that the host never waits. (Apple's GPUs cannot do that: there, no loss is reported.)

    Args:
        run: The run.
        reporter: Receives the reports.
    """

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.run, self.reporter = run, reporter
        self.next = run.state.seconds + EVERY
        self.copied: tuple[torch.Tensor, Any] | None = None

    def beat(self) -> None:
        """Report if it is time; called after each step."""
        if self.run.state.seconds < self.next:
            return
        if self.run.device.type == "cpu":
            self._report(self.run.sums.sums)
        elif self.run.device.type != "cuda":
            self._report(None)
        elif self.copied is None:
            self._copy()
        elif self.copied[1].query():
            self._report(self.copied[0])
            self.copied = None

    def _copy(self) -> None:
        """Let the GPU copy the sums after the steps that it has been given."""
        sums = self.run.sums.sums
        target = torch.empty(sums.shape, dtype=sums.dtype, pin_memory=True)
        target.copy_(sums, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self.copied = target, arrived

    def _report(self, sums: torch.Tensor | None) -> None:
        run, state = self.run, self.run.state
        self.next = state.seconds + EVERY
        loss, rows = sums[:2].tolist() if sums is not None else (0.0, 0.0)
        row = {
            "step": state.step,
            "epoch": run.epoch,
            "seconds": state.seconds,
            "lr": learning_rate(run, schedule_position(run)),
            "samples_per_second": samples_per_second(run),
        }
        self.reporter.heartbeat(row | ({"train/loss": loss / rows} if rows else {}))
