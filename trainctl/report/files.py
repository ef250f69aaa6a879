"""A run's own records: metrics.jsonl, log.txt and loggers such as TensorBoard."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from trainctl import rundir
from trainctl.logger.base import Logger
from trainctl.report.base import Row
from trainctl.report.plain import Plain
from trainctl.run import Run


class Files:
    """Writes each evaluation as one line of `metrics.jsonl`, and everything that a plain terminal shows to `log.txt`.

    Args:
        directory: The run's.
        loggers: Told each evaluation too.
    """

    def __init__(self, directory: Path, loggers: Sequence[Logger]) -> None:
        self.directory, self.loggers = directory, loggers
        self.log: TextIO = (directory / "log.txt").open("a", encoding="utf-8")
        self.metrics: TextIO | None = None
        self.plain = Plain(self.log)

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Begin; lines of `metrics.jsonl` that the run will come to again are dropped."""
        self.log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}\n")
        rundir.write(directory / "metrics.jsonl", "".join(map(rundir.line, history)))
        self.metrics = (directory / "metrics.jsonl").open("a", encoding="utf-8")
        self.plain.start(run, directory, history)

    def evaluation(self, row: Row) -> None:
        """Take the newest evaluation."""
        assert self.metrics
        self.metrics.write(rundir.line(row))
        self.metrics.flush()
        self.plain.evaluation(row)
        for logger in self.loggers:
            logger.log(int(row["step"]), {key: value for key, value in row.items() if "/" in key or key == "lr"})

    def forget(self, step: int) -> None:
        """Drop the lines of evaluations after a step."""
        assert self.metrics
        self.metrics.close()
        rows = rundir.read_metrics(self.directory, step)
        rundir.write(self.directory / "metrics.jsonl", "".join(map(rundir.line, rows)))
        self.metrics = (self.directory / "metrics.jsonl").open("a", encoding="utf-8")

    def note(self, text: str) -> None:
        """Take a line for the user."""
        self.plain.note(text)

    def detail(self, text: str) -> None:
        """Take a line for the log."""
        self.plain.note(text)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Take what is in ``summary.json``; the test metrics become a line of their own."""
        tested = {key: value for key, value in summary["metrics"].items() if key.startswith("test/")}
        if tested and self.metrics and summary["best"]:
            best = summary["best"]
            self.metrics.write(rundir.line({"step": best["step"], "epoch": best["epoch"]} | tested))
            for logger in self.loggers:
                logger.log(best["step"], tested)
        self.plain.finish(summary)

    def close(self) -> None:
        """Close the files and the loggers."""
        for file in (self.metrics, self.log):
            if file and not file.closed:
                file.close()
        for logger in self.loggers:
            logger.close()
