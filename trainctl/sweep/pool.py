"""The pool: keeps its workers busy with trials until nothing is left to do, whatever happens to any of them. No torch."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from trainctl.errors import Interrupted
from trainctl.machine.signals import SAVE, StopRequest
from trainctl.settings.config import seconds
from trainctl.store.journal_base import AwayError
from trainctl.store.runpath import RunPath
from trainctl.sweep import live, trial_directories
from trainctl.sweep.crew import Crew
from trainctl.sweep.jobs import Worker, epochs_of, job
from trainctl.sweep.live import Progress, Watcher
from trainctl.sweep.messages import Message
from trainctl.sweep.policy import Task
from trainctl.sweep.study import Study
from trainctl.sweep.trial import INTERRUPTED, Trial

POLL = 0.2  # seconds between two looks at the journal and the clock, while nothing happens
GRACE = 30.0  # seconds that a trial has to save itself


class Pool:
    """Runs the trials of a study on this machine.

    Args:
        study: The sweep.
        watcher: What it is shown with.
        more: Called when no trial is waiting: adds points, and returns whether it added any.
        finale: Called when everything else is done: adds last trials, and returns whether it added any.
        changed: Called after a trial ended.
        meanwhile: Called once, while PyTorch is imported elsewhere and this process would wait.
    """

    def __init__(
        self,
        study: Study,
        watcher: Watcher,
        more: Callable[[], bool],
        finale: Callable[[], bool],
        changed: Callable[[], None] = lambda: None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self.study, self.watcher, self.more, self.finale = study, watcher, more, finale
        self.changed, self.meanwhile = changed, meanwhile
        self.settings, self.ledger, self.policy = study.settings, study.ledger, study.policy
        self.journal = study.journal
        self.writer = self.journal.writer()
        self.crew = Crew(study)
        self.began, self.failures = time.monotonic(), 0
        self.stopping = ""
        self._left: tuple[str, float] = "", 0.0
        self._saving_since: dict[tuple[str, int], float] = {}

    def run(self) -> str:
        """Run until nothing is left to do; return why it stopped early, if it did.

        Raises:
            Interrupted, Terminated: If a signal came; running trials are paused.
            UnavailableError: If no worker can be started.
        """
        with StopRequest() as request:
            self.journal.hurried = lambda: request.received is not None
            try:
                if self._others_run() or self._something_left():  # else no process has to load PyTorch
                    self.crew.start(self.settings.workers, self.study.datasets(), self.meanwhile)
                    while self._step(request):
                        pass
                self._pause_all()
                if not self.stopping and not self._others_run() and not self.ledger.complete:
                    self.writer.append({"event": "over", "trials": len(self.ledger.trials)})
            except AwayError:
                if request.received is None:
                    raise
            except KeyboardInterrupt:
                again = f"continue it with: {self.study.resume}"
                raise Interrupted(f"interrupted; running trials are saved in these seconds; {again}") from None
            finally:  # also if a second Ctrl-C ends the wait: workers save their trials on their own, and then end
                self.crew.close()
                self.writer.close()
            if request.received is not None:
                again = f"continue it with: {self.study.resume}"
                raise request.error(f"the sweep was stopped; running trials are paused; {again}")
        return self.stopping

    def _step(self, request: StopRequest) -> bool:
        """Do what is due; return whether something is left to do."""
        self.ledger.update()
        self.ledger.saving.clear()  # looked at again
        self._give_up()
        if not self.stopping:
            self.stopping = self._why_stop(request)
        if not self.stopping:
            self._assign()
        else:
            self._pause_all()
        busy = self.crew.busy
        if not busy and (self.stopping or not self._others_run()):
            return not self.stopping and self._something_left()
        if not busy and self.settings.requeue:  # what others run may need no help: leave the machine to other jobs
            return False
        self._listen()
        self._check_timeouts()
        self.watcher.running([worker.progress for worker in self.crew.busy if worker.progress])
        return True

    def _why_stop(self, request: StopRequest) -> str:
        if request.save and self.settings.requeue and request.received is None:
            request.received = SAVE  # Slurm's warning before the time limit
        if request.received is not None:
            return INTERRUPTED
        if (left := self._seconds_left()) is not None and left <= 0:
            return f"reached sweep.max_time={self.settings.max_time}"
        return "a trial failed, and sweep.on_error=stop" if self.failures and self.settings.on_error == "stop" else ""

    def _seconds_left(self) -> float | None:
        if self.settings.max_time is None:
            return None
        return seconds(self.settings.max_time) - (time.monotonic() - self.began)

    def _others_run(self) -> bool:
        """Return whether processes elsewhere run trials that this one may have to take over, or continue others soon."""
        return bool(self.ledger.running()) or self._is_left_to_others()

    def _is_left_to_others(self) -> bool:
        """Return whether a trial is to be continued on the machine that has its checkpoint, which gets a lease to do so."""
        key, now = self.policy.left_to_others(self.ledger), time.monotonic()
        if key != self._left[0]:
            self._left = key, now
        if key and now - self._left[1] > seconds(self.settings.lease):
            self.ledger.released.add(key)
            self.ledger.elsewhere.discard(key)
            return False
        return bool(key)

    def _something_left(self) -> bool:
        """Return whether a trial can begin: after new points, or to complete the finalists."""
        tasks = (self.policy.next_task(self.ledger), self.policy.last_task(self.ledger))
        return tasks != (None, None) or self.more() or self.finale()

    # Trials begin.

    def _assign(self) -> None:
        """Give every free worker a trial; start workers up to the size of the pool."""
        while len(self.crew.busy) < self.crew.size:
            task = self.policy.next_task(self.ledger)
            if task is None and self.more():
                self.ledger.update()
                task = self.policy.next_task(self.ledger)
            if task is None and not self._others_run():
                task = self.policy.last_task(self.ledger)
            if task is None or not self._claim(task):
                return

    def _claim(self, task: Task) -> bool:
        """Try to get a trial, and begin it; return whether there is a point in looking for another one."""
        segment = self.ledger.segments.get(task.key, -1) + 1
        taken_over, trial = task.key in self.ledger.dead, self.ledger.trials[task.key]
        directory = self.study.held / trial.directory.name
        trial_directories.check(directory)
        if taken_over and self._is_being_saved(task.key, segment, directory):
            self.ledger.saving.add(task.key)
            return True  # another one can begin meanwhile
        if not self.journal.claim(task.key, segment, self.writer):
            self.ledger.update()
            return self.ledger.segments.get(task.key, -1) >= segment  # else its claim cannot be seen: look again later
        self.ledger.update()
        if taken_over:
            trial_directories.take_over(directory, segment)
        self._begin(task, trial, segment, continues=trial_directories.prepare(directory))
        return True

    def _is_being_saved(self, key: str, segment: int, directory: RunPath) -> bool:
        """Return whether the process of a dead trial may still be saving it on this machine; it gets a lease to end."""
        if trial_directories.is_free(directory):
            return False
        now = time.monotonic()
        return now - self._saving_since.setdefault((key, segment), now) <= seconds(self.settings.lease)

    def _begin(self, task: Task, trial: Trial, segment: int, *, continues: bool) -> None:
        """Give a trial to a worker."""
        if not continues:  # perhaps for the second time, since its checkpoints are on another machine
            trial.value, trial.step, trial.epoch = None, 0, 0.0
        worker, now = self.crew.free(), time.monotonic()
        config = self.study.config(trial)
        worker.take(task.key, segment, trial, now)
        epochs = epochs_of(config)
        rungs = [rung for rung in self.policy.rungs(task.full, epochs) if rung not in trial.rungs]
        worker.channel.send(job(self.study, trial, config.tree, rungs, continues=continues))
        until = rungs[0] if rungs else None
        worker.progress = Progress(trial, trial.epoch, epochs, until, (), now, trial.epoch)
        self.watcher.started(
            trial, trial_directories.newest_step(self.study.held / trial.directory.name) if continues else 0
        )

    # Messages arrive.

    def _listen(self) -> None:
        """Handle what workers say, and workers that ended without a word."""
        for worker, message in self.crew.heard(POLL):
            self._handle(worker, message)
        for worker, reason in self.crew.lost():
            status, why = ("paused", INTERRUPTED) if self.stopping else ("failed", reason)
            self._ended(worker, {"status": status, "reason": why, "value": worker.best})

    def _handle(self, worker: Worker, message: Message) -> None:
        key, trial = worker.key, worker.trial
        if key is None or trial is None:
            return
        if "row" in message:
            worker.best = message["value"]
            if (shown := worker.progress) is not None:
                rows = (*shown.rows, message["row"])
                worker.progress = replace(shown, rows=rows, epoch=message["row"]["epoch"])
        elif "rung" in message:
            self._at_rung(worker, key, trial, message)
        elif "end" in message:
            self._ended(worker, message)
        elif "step" in message and message["step"] != worker.step:
            worker.step, worker.since = message["step"], time.monotonic()
            if (shown := worker.progress) is not None and message["epoch"] > shown.epoch:
                first = {} if shown.epoch else {"began": worker.since, "began_at": message["epoch"]}  # the time left
                worker.progress = replace(shown, epoch=message["epoch"], **first)

    def _at_rung(self, worker: Worker, key: str, trial: Trial, message: Message) -> None:
        """Record that a trial has reached a rung, and tell its worker what happens now."""
        self._record(worker, "rung", message)
        self.ledger.update()
        verdict = self.policy.at_rung(self.ledger, key, message["rung"])
        worker.channel.send({"verdict": verdict})
        worker.since = time.monotonic()  # it has waited for this, perhaps for long
        if verdict == "continue" and worker.progress is not None:
            later = [rung for rung in self.policy.rungs(False, worker.progress.total) if rung > message["rung"]]
            worker.progress = replace(worker.progress, until=later[0] if later else None)
        self.watcher.rung(trial, message["rung"])

    def _record(self, worker: Worker, event: str, content: Mapping[str, Any]) -> None:
        numbers = {key: value for key, value in content.items() if value is not None and key not in ("end", "last")}
        self.writer.append({**numbers, "event": event, "trial": worker.key, "segment": worker.segment})

    def _ended(self, worker: Worker, message: Mapping[str, Any]) -> None:
        """Record how a trial ended, and free its worker."""
        assert worker.trial
        if trouble := self.study.other_facts(worker.trial, message.get("facts")):
            message = {**message, "status": "failed", "reason": trouble}
        if not (self.stopping or self.journal.hurried()) and worker.is_stuck(message):
            message = {**message, "status": "failed", "reason": "ended by SIGTERM, before it took a step"}
        self._record(worker, "end", message)
        self.ledger.update()
        self.failures += worker.trial.status == "failed"
        maximize = self.policy.maximize
        dropped = trial_directories.not_kept(self.settings.keep, worker.trial, self.ledger, maximize=maximize)
        trial_directories.drop_checkpoints(self.study.held, dropped)
        worker.progress = None
        self.changed()  # first, so that trials that were added count in what is shown
        self.watcher.ended(worker.trial)
        worker.key, worker.trial = None, None
        if message.get("last"):  # its process ends
            self.crew.let_go(worker)

    def _give_up(self) -> None:
        """Kill workers whose trials others have taken over, since this process was stopped for longer than its lease.

        They write to a directory that was moved away. Nothing is recorded: the trial is not this process's any more.
        """
        for worker in self.crew.busy:
            key, trial = worker.key, worker.trial
            if key is not None and trial is not None and self.ledger.segments.get(key, 0) > worker.segment:
                self.crew.kill(worker)
                self.crew.let_go(worker)
                why = f"another process has taken it over after sweep.lease={self.settings.lease}"
                self.watcher.note(f"given up  {live.name(trial)}: {why}")

    def _check_timeouts(self) -> None:
        """Kill workers that take no step for too long."""
        if self.settings.trial_timeout is None:
            return
        for worker in self.crew.without_step(seconds(self.settings.trial_timeout)):
            self.crew.kill(worker, f"took no step for sweep.trial_timeout={self.settings.trial_timeout}")

    # Trials are stopped.

    def _pause_all(self) -> None:
        """Let every trial save itself, and record that it is paused; kill what does not end."""
        deadline = time.monotonic() + GRACE
        self.crew.pause()
        while self.crew.busy:
            if time.monotonic() > deadline:
                for worker in self.crew.busy:
                    self.crew.kill(worker)
                deadline += GRACE
            self._listen()
