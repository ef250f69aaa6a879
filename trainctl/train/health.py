"""Keeps a run's numbers finite: locates, explains, and skips or undoes faulty steps.

Checking every gradient before every update costs a small network 4 % of its time. Instead, each step checks only its
loss, and all weights and the optimizer's state are checked from time to time: a non-finite gradient leaves non-finite
values in them. After each check, a snapshot of the finite state is kept in memory. If a check fails, the run goes back
to this snapshot and repeats the steps, this time checking each gradient before the update. Training is reproducible bit
for bit, so this finds the faulty step and the state before it. Running out of memory is handled the same way. Every
other error is a bug in trainctl or in the user's code: it is raised at once, and the snapshot is saved.
"""

import gc
import traceback
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from torch import Tensor

from trainctl.errors import (
    Interrupted,
    NonFiniteError,
    ProcessError,
    StorageError,
    Terminated,
    TrainctlError,
    UnavailableError,
    lacks_memory,
    out_of_memory,
)
from trainctl.machine import device
from trainctl.report import run_lines
from trainctl.run.rate import REWIND_FACTOR
from trainctl.run.reporter import Reporter
from trainctl.run.run import Run
from trainctl.run.state import TrainState
from trainctl.step import split_state
from trainctl.step.eager import closely, where
from trainctl.step.engine import Engine
from trainctl.step.fused import trained_parameters
from trainctl.step.sharded import shares_of
from trainctl.store import restore, rundir
from trainctl.store.checkpoint import WholeState
from trainctl.train.blame import FILE, explain
from trainctl.train.checkpoint_writer import Writer, whole_state
from trainctl.train.snapshot import Snapshot, are_finite, masks, state_is_finite
from trainctl.train.spread import spread_state
from trainctl.wording import shell_words

EVERY_STEPS = (
    100  # between checks of the whole state on a CPU; not used on other devices, where the host would have to wait
)
MOST_SKIPS_IN_ROW = 10
MOST_REWINDS = 5
LEAST_SCALE = 2.0**-10  # of the loss in fp16; it starts at 2**16 and is halved by every step that overflows
ADVICE = "try a smaller optimizer.lr, loop.clip_norm=1, or scale=standard"

Action = Literal["stop", "skip", "rewind"]


def policy(wanted: Action, state: TrainState) -> tuple[Action, str]:
    """Return what to do about a non-finite step and, if this differs from ``wanted``, the reason.

    Args:
        wanted: The setting ``loop.on_nonfinite``.
        state: The state before the step.
    """
    if wanted == "skip" and state.skipped_in_row >= MOST_SKIPS_IN_ROW:
        return "stop", f" (after {MOST_SKIPS_IN_ROW} skipped steps in a row)"
    if wanted == "rewind" and state.rewinds >= MOST_REWINDS:
        return "stop", f" (after {MOST_REWINDS} rewinds)"
    return wanted, ""


@dataclass
class Health:
    """Takes a run's steps and keeps non-finite numbers out of its weights and checkpoints.

    As a context manager, it saves the last good state if an error occurs.

    Args:
        run: The run to train.
        writer: Writes its checkpoints.
        reporter: Receives messages.
    """

    run: Run
    writer: Writer
    reporter: Reporter

    def __post_init__(self) -> None:
        self.engine = Engine(self.run, self.reporter.note)
        self.take_closely = closely(self.run, self.engine.compute)
        self.reported_engine, self.first_step = "", self.run.state.step
        self.good, self.masks = Snapshot(self.run), masks(self.run)
        # The step at which a problem was noticed; up to this step, every gradient is checked.
        self.until: int | None = None
        self.broken = False  # inside a step, or not finite: the last good state is the snapshot

    def step(self, *batch: Tensor) -> bool:
        """Take or skip a step; return False if the run went back to an earlier step instead.

        Raises:
            NonFiniteError: If the step's numbers are not finite and ``loop.on_nonfinite`` is ``stop``, or a limit is reached.
            Exception: Any error of a bug.
        """
        run, state = self.run, self.run.state
        if self.until is not None:
            if state.step <= self.until:
                return self._closely(*batch)
            self._end_close_look()
        if run.device.type == "cpu" and state.step - self.good.step >= EVERY_STEPS and not self.check_or_go_back():
            return False
        try:
            self.engine.take(*batch)
        except (Exception, SystemExit) as error:
            # The state is still that after the last step if another process has failed, or if all have shared it.
            self.broken = not isinstance(error, ProcessError) and split_state.attached(error) is None
            if isinstance(error, UnavailableError) or not (isinstance(error, NonFiniteError) or lacks_memory(error)):
                raise
            _release(run, error)
            self._look_closely(str(error) if isinstance(error, NonFiniteError) else out_of_memory(error))
            return False
        state.skipped_in_row = 0
        return True

    def check_or_go_back(self) -> bool:
        """Return whether the state is finite, so that it can be evaluated and saved; if not, go back to the snapshot.

        Raises:
            NonFiniteError: If fp16 skips too many steps in a row.
        """
        run = self.run
        if self.engine.decided:
            self._report_engine()
        if self.until is not None:
            return True  # every step since the snapshot was checked
        if run.scaler.is_enabled() and (scale := run.scaler.get_scale()) < LEAST_SCALE:
            raise NonFiniteError(
                f"precision=fp16 skips too many steps; by step {run.state.step} the scale of the loss had fallen to {scale:g}:"
                f" {ADVICE}, or precision=bf16"
            )
        if not all(run.world.share(state_is_finite(run, self.masks))):
            self.broken = True
            self._look_closely(f"the state after step {run.state.step} is not finite")
            return False
        self.remember()
        return True

    def remember(self) -> None:
        """Snapshot the current state, which is known to be finite."""
        self.good = Snapshot(self.run)

    def _look_closely(self, why: str) -> None:
        """Go back to the snapshot, to repeat the steps since then and check every gradient."""
        self.until = self.run.state.step
        self._put_back()
        first, last = self.run.state.step + 1, self.until + 1
        steps = f"step {first}" if first == last else f"steps {first} to {last}"
        self.reporter.note(f"{why}; repeating {steps} and checking every gradient")

    def _end_close_look(self) -> None:
        self.until = None
        self.remember()

    def _put_back(self) -> None:
        self.broken = True
        self.good.put_back()
        self.broken = False

    def _closely(self, *batch: Tensor) -> bool:
        run = self.run
        self.remember()
        self.broken = True
        try:
            self.take_closely(*batch)
            if not all(run.world.share(state_is_finite(run, self.masks))):
                raise NonFiniteError(f"the update produces non-finite numbers {where(run)}")
        except NonFiniteError as error:
            return self._answer(error, batch)
        self.broken = False
        run.state.skipped_in_row = 0
        return True

    def _answer(self, error: NonFiniteError, batch: tuple[Tensor, ...]) -> bool:
        """Apply ``loop.on_nonfinite`` to the faulty step."""
        run, state, random = self.run, self.run.state, device.random_states(self.run.device)
        self._put_back()
        self.broken = True  # because the step is computed once more
        message, facts = explain(run, error, batch, closely(run))
        self._put_back()
        try:
            self.writer.write(FILE, facts)
        except StorageError as trouble:
            self.reporter.note(str(trouble))
        action, limit = policy(run.config.loop.on_nonfinite, state)
        if action == "stop":
            raise NonFiniteError(f"{message}{limit}; {ADVICE}")
        if action == "rewind":
            self._rewind(message)
            return False
        device.restore_random_states(random, run.device)
        state.skipped += 1
        state.skipped_in_row += 1
        self.reporter.note(f"skipped step {state.step + 1}: {message}")
        return True

    def _rewind(self, message: str) -> None:
        run, state, rewinds = self.run, self.run.state, self.run.state.rewinds + 1
        saved = restore.newest(self.writer.directory) if run.world.first else None
        self.broken = True  # until all of it is restored
        state.best_weights = {}
        if saved:
            restore.restore(run, saved)
        spread_state(run)
        state.rewinds, self.broken = rewinds, False
        self._end_close_look()
        self.reporter.forget(state.step)
        self.reporter.note(
            f"{message}; continuing from step {state.step} with {REWIND_FACTOR**rewinds:g} times the learning rate"
            f" (rewind {rewinds} of {MOST_REWINDS})"
        )

    def _report_engine(self) -> None:
        """Report how steps are taken, and write it to ``run.json``, if it has changed."""
        text = str(self.engine)
        if text == self.reported_engine:
            return
        self.reported_engine = text
        self.reporter.engine(text)
        if not self.run.world.first:
            return
        if facts := rundir.read_json(self.writer.directory / "run.json"):
            with suppress(StorageError):  # training continues even if this cannot be written
                self.writer.write("run.json", facts | {"engine": text})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        whole = self._whole(error)
        if not self.run.world.first:
            return
        if self.engine.decided or self.run.state.step > self.first_step:
            self._report_engine()
        if not isinstance(error, Exception | SystemExit) or isinstance(error, Interrupted | Terminated | StorageError):
            return
        lacks = lacks_memory(error) and not isinstance(error, ProcessError)  # whose message names the other process
        if lacks:
            _release(self.run, error)
        saved = self._save_good(whole)
        if lacks:
            raise UnavailableError(f"{out_of_memory(error)}; {saved}") from error
        if not isinstance(error, TrainctlError):
            path, own = (
                shell_words([str(self.writer.directory)]),
                run_lines.argument_here(self.run.config.components),
            )
            saved += f"; fix the error, then resume with: trainctl resume {path}{own}"
        self.reporter.note(saved)

    def _whole(self, error: BaseException | None) -> WholeState | None:
        """Return what the processes divide if all of them give it, as they do where all raise this error; None if not."""
        if not isinstance(error, NonFiniteError):  # which all processes raise at the same time
            return split_state.attached(error)
        try:
            if self.broken:
                self._put_back()
            return whole_state(self.run)
        except (RuntimeError, MemoryError, ProcessError):
            return None

    def _save_good(self, whole: WholeState | None) -> str:
        """Save the last good state; return which state is on disk, in words."""
        try:
            if self.broken:
                self._put_back()
            if whole is None and (shares := shares_of(self.run)):
                return f"the newest checkpoint is the last good state, as each process had a share of {shares}"
            if (whole is None or are_finite(whole[0], self.masks)) and state_is_finite(self.run, self.masks):
                self.writer.save(whole)
                return f"the state at step {self.run.state.step} is saved"
        except (StorageError, RuntimeError, MemoryError) as trouble:  # must not hide the error that caused this
            return f"the newest checkpoint is the last good state ({str(trouble) or type(trouble).__name__})"
        return "the newest checkpoint is the last good state"


def _release(run: Run, error: BaseException) -> None:
    """Free the memory of a failed step: local variables in its stack frames, and gradients."""
    traceback.clear_frames(error.__traceback__)
    for parameter in trained_parameters(run.optimizer):
        parameter.grad = None
    gc.collect()
