"""A worker: trains the trials that the pool sends it, one after the other, in a process of its own."""

import contextlib
import gc
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError, Interrupted, Terminated, TrainctlError, UnavailableError
from trainctl.machine.signals import ExitImmediately
from trainctl.report import reporters as reporting
from trainctl.run import metric_names
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run
from trainctl.settings import validation
from trainctl.store import files, records, rundir, runpath
from trainctl.store.runpath import RunPath
from trainctl.sweep.messages import Channel, Message
from trainctl.sweep.trial import INTERRUPTED
from trainctl.train import session
from trainctl.wording import amount

SIGN_OF_LIFE = 0.5  # seconds between two reports of the step
PATIENCE = 30.0  # seconds that a worker without a pool has to save its trial
MOST_TRIALS = 100  # of one process, so that what libraries leak stays bounded
MOST_POINTS = 59  # of a learning curve that is sent, apart from the last one


def serve(channel: Channel) -> int:
    """Train trials until the pool ends, or this process should not train any more; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the pool, which asks its workers to stop
    gc.freeze()
    watch = Watch(channel)
    for number in range(1, MOST_TRIALS + 1):
        job = watch.next_job()
        if job is None:
            return 0
        ending, healthy = run_trial(job, watch)
        channel.send({"end": True, "last": not healthy or number == MOST_TRIALS, **ending})
        if not healthy:
            return 1
        gc.collect()
    return 0


class Watch:
    """Reads what the pool sends, reports the step while a trial runs, and stops the trial if the pool is gone.

    Args:
        channel: The channel to the pool.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel, self.busy = channel, False
        self.run: Run | None = None
        self._jobs: list[Message] = []
        self._verdicts: list[str] = []
        self._news = threading.Condition()
        self._gone = False
        threading.Thread(target=self._read, daemon=True, name="messages of the pool").start()
        threading.Thread(target=self._report, daemon=True, name="reports of the step").start()

    def next_job(self) -> Message | None:
        """Wait for a job; None if there is none any more."""
        with self._news:
            self.run, self.busy = None, False
            self._news.wait_for(lambda: self._jobs or self._gone)
            if self._gone or self._jobs[0].get("job") == "end":
                return None
            self.busy = True
            return self._jobs.pop(0)

    def verdict(self) -> str:
        """Wait for what happens to the trial at a rung."""
        with self._news:
            self._news.wait_for(lambda: self._verdicts or self._gone)
            return "pause" if self._gone else self._verdicts.pop(0)

    def _read(self) -> None:
        while self.channel.open:
            for message in self.channel.received():
                with self._news:
                    if "verdict" in message:
                        self._verdicts.append(message["verdict"])
                    else:
                        self._jobs.append(message)
                    self._news.notify_all()
        with self._news:
            self._gone = True
            self._news.notify_all()
        os.kill(os.getpid(), signal.SIGTERM)  # the trial is saved, and can be continued
        time.sleep(PATIENCE)
        os.killpg(os.getpgrp(), signal.SIGKILL)  # with what its components have started

    def _report(self) -> None:
        while not self._gone:
            time.sleep(SIGN_OF_LIFE)
            run = self.run
            if self.busy:
                step = run.state.step if run is not None else -1
                self.channel.send({"step": step, "epoch": run.epoch if run is not None else 0.0})


class Judge:
    """Reports evaluations to the pool, and asks it at every rung whether to continue.

    Args:
        watch: The watch of this worker.
        job: What is trained, with ``rungs`` that are yet to come [epochs] and the best ``value`` so far.
    """

    def __init__(self, watch: Watch, job: Message) -> None:
        self.watch, self.rungs, self.value = watch, list(job["rungs"]), job["value"]
        self.monitor = job["tree"]["monitor"]
        self.monitors: list[str] = job["monitors"]
        own = metric_names.own_maximized(job["tree"]["metric"])
        self.sign = -1 if metric_names.maximize(self.monitor, own) else 1
        self.sends_curve: bool = job["curve"]
        self.paused = ""

    def __call__(self, row: Row) -> str | None:
        """Return why the run is to stop; None to continue."""
        value = row[self.monitor]
        if value == value and (self.value is None or self.sign * value < self.sign * self.value):
            self.value = value
        self.watch.channel.send({"row": dict(row), "value": self.value})
        while self.rungs and row["epoch"] >= self.rungs[0]:
            rung = self.rungs.pop(0)
            self.watch.channel.send({"rung": rung, "value": self.value, "epoch": row["epoch"], "step": row["step"]})
            if (verdict := self.watch.verdict()) != "continue":
                self.paused = "pruned" if verdict == "prune" else "paused"
                return f"{self.paused} after {amount(rung, 'epoch')}"
        return None


def run_trial(job: Message, watch: Watch) -> tuple[dict[str, Any], bool]:
    """Train a trial, or continue it; return how it ended, and whether this process can train another one."""
    judge = Judge(watch, job)
    os.chdir(job["cwd"])
    sys.argv = ["trainctl", *job["words"]]  # what run.json calls the command
    home = runpath.hold(Path(job["home"]))
    place = home / job["name"]
    try:
        with printing_to(home / "logs" / f"{job['name']}.log"):
            ending, healthy = train(job, place, watch, judge)
    except TrainctlError as error:  # the log cannot be written
        ending, healthy = {"status": "failed", "reason": _line(error)}, True
    watch.run = None
    return ending | measured(place, judge), healthy


def train(job: Message, place: RunPath, watch: Watch, judge: Judge) -> tuple[dict[str, str], bool]:
    """Train; whatever happens becomes a status and a reason."""

    def reporters(run: Run, directory: RunPath) -> Reporter:
        watch.run = run
        return reporting.records(run, directory)

    try:
        with ExitImmediately():
            settings = validation.load(job["tree"])
            if job["continues"]:
                summary = session.resume(settings, [], runpath.enter(place), reporters=reporters, judge=judge)
            else:
                summary = session.begin(settings, job["words"], place.path, reporters=reporters, judge=judge)
        outcome = judge.paused if summary["outcome"] == "stopped" else summary["outcome"]
        return {"status": outcome, "reason": summary["reason"]}, True
    except Interrupted as error:
        return {"status": "stopped" if error.planned else "paused", "reason": _line(error)}, True
    except (Terminated, KeyboardInterrupt):
        return {"status": "paused", "reason": INTERRUPTED}, True
    except TrainctlError as error:
        print(error, file=sys.stderr)
        return {"status": "failed", "reason": _line(error)}, not isinstance(error, UnavailableError)
    except BaseException as error:  # noqa: BLE001 - a bug in one trial must not end the sweep
        traceback.print_exc()
        return {"status": "failed", "reason": f"{type(error).__name__}: {_line(error)}"}, False


def measured(place: RunPath, judge: Judge) -> dict[str, Any]:
    """Return the numbers of a trial's summary, and the facts that all trials of a sweep must share."""
    try:
        directory = runpath.enter(place)
    except CheckpointError:  # nothing was begun
        return {"value": judge.value}
    summary, facts = records.read_summary(directory), records.read_facts(directory)
    metrics = {name: value for name, value in summary.metrics.items() if math.isfinite(value)}
    best = summary.best.value if summary.best else None
    return {
        "value": judge.value if best is None else best,
        "values": {name: metrics[name] for name in judge.monitors if name in metrics},
        "metrics": metrics,
        "step": summary.steps,
        "epoch": summary.epochs,
        "seconds": summary.seconds,
        "parameters": facts.model.parameters,
        "facts": {"data": {"fingerprint": facts.data.fingerprint}, "versions": facts.versions},
    } | ({"curve": curve(directory, judge.monitor)} if judge.sends_curve else {})


def curve(directory: RunPath, monitor: str) -> list[list[float]]:
    """Return the learning curve of a run for other machines, which do not see its files: at most 60 epochs and values."""
    with contextlib.suppress(TrainctlError):
        rows = [row for row in rundir.read_metrics(directory) if math.isfinite(row.get(monitor, math.nan))]
        points = [[round(row["epoch"], 3), float(f"{row[monitor]:.6g}")] for row in rows if "epoch" in row]
        step = math.ceil(len(points) / MOST_POINTS)
        return [*points[: -1 : max(1, step)], *points[-1:]]
    return []


@contextlib.contextmanager
def printing_to(path: RunPath) -> Iterator[None]:
    """Append what this process prints, its libraries included, to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(number) for number in (1, 2)]
    file = files.open_to_append(path)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, saved in zip((1, 2), before, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        os.close(file)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
