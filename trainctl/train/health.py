"""Keeps a run's numbers finite: a step that goes wrong is found, explained, and skipped or undone.

To check every gradient before every step costs a small network 4 % of its time. So a step checks its loss only, and now
and then all weights and the optimizer's state are checked: what is not finite in a gradient stays in them. Of the state
that was sound a snapshot is kept. When something is wrong the run goes back to that snapshot and takes the same steps
again, closely: each gradient is checked before the update. Training repeats bit for bit, so it meets the step that is
to blame, and the state before that step is what is kept. A lack of memory is met in the same way. Every other error is
a bug, of ours or of the user's code: it is raised at once, and the snapshot is saved.
"""

import gc
import math
import shlex
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from torch import Tensor

from trainctl.errors import (
    Interrupted,
    NonFiniteError,
    StorageError,
    Terminated,
    TrainctlError,
    UnavailableError,
    lacks_memory,
    out_of_memory,
)
from trainctl.machine import device
from trainctl.report import phrases
from trainctl.run.rate import REWIND_FACTOR
from trainctl.run.reporter import Reporter
from trainctl.run.run import Run
from trainctl.run.state import TrainState
from trainctl.step.eager import closely, where
from trainctl.step.engine import Engine
from trainctl.step.fused import trained_by
from trainctl.store import restore, rundir
from trainctl.train.blame import FILE, explain
from trainctl.train.checkpoint_writer import Writer
from trainctl.train.snapshot import Snapshot, masks, sound

EVERY_STEPS = 100  # between checks of the whole state on a CPU; for another device the host would have to wait
MOST_SKIPS_IN_ROW = 10
MOST_REWINDS = 5
LEAST_SCALE = 2.0**-10  # of fp16's losses; it starts at 2**16 and halves at every step that overflows
DIVERGED = 10.0  # times the training loss up to the first evaluation
ADVICE = "try a smaller optimizer.lr, loop.clip_norm=1, or scale=standard"

Action = Literal["stop", "skip", "rewind"]


def policy(wanted: Action, state: TrainState) -> tuple[Action, str]:
    """Return what to do with a step that is not finite; if that is not what the user wants, why.

    Args:
        wanted: ``loop.on_nonfinite``.
        state: Before the step.
    """
    if wanted == "skip" and state.skipped_in_row >= MOST_SKIPS_IN_ROW:
        return "stop", f" ({MOST_SKIPS_IN_ROW} steps in a row were skipped before)"
    if wanted == "rewind" and state.rewinds >= MOST_REWINDS:
        return "stop", f" (after {MOST_REWINDS} rewinds)"
    return wanted, ""


@dataclass
class Health:
    """Takes a run's steps and sees to it that what is not finite neither stays nor is saved.

    As a context it writes a checkpoint of the last good state when an error leaves it.

    Args:
        run: To be trained.
        writer: Writes its checkpoints.
        reporter: Is told what happens.
    """

    run: Run
    writer: Writer
    reporter: Reporter

    def __post_init__(self) -> None:
        self.engine, self.take_closely = Engine(self.run, self.reporter.note), closely(self.run)
        self.engine_told, self.first_step = "", self.run.state.step
        self.good, self.masks = Snapshot(self.run), masks(self.run)
        self.until: int | None = None  # the step at which trouble showed; up to there steps are taken closely
        self.broken = False  # in the midst of a step, or not finite: the snapshot is the last good state

    def step(self, inputs: Tensor, targets: Tensor) -> bool:
        """Take a step, or skip it; return False if the run has gone back to an earlier step instead.

        Raises:
            NonFiniteError: If the step's numbers are not finite and it is not to be skipped.
            Exception: Whatever a bug raises.
        """
        run, state = self.run, self.run.state
        if self.until is not None:
            if state.step <= self.until:
                return self._closely(inputs, targets)
            self._end_close_look()
        if run.device.type == "cpu" and state.step - self.good.step >= EVERY_STEPS and not self.sound():
            return False
        try:
            self.engine.take(inputs, targets)
        except Exception as error:
            self.broken = True
            if not isinstance(error, NonFiniteError) and not lacks_memory(error):
                raise
            _release(run, error)
            self._look_closely(str(error) if isinstance(error, NonFiniteError) else out_of_memory(error))
            return False
        state.skipped_in_row = 0
        return True

    def sound(self) -> bool:
        """Return whether the state can be evaluated and saved; if not, the run has gone back to an earlier step.

        Raises:
            NonFiniteError: If fp16 skips one step after the other.
        """
        run = self.run
        if self.engine.decided:
            self._tell_engine()
        if self.until is not None:
            return True  # each step since the snapshot was checked
        if run.scaler.is_enabled() and (scale := run.scaler.get_scale()) < LEAST_SCALE:
            raise NonFiniteError(
                f"precision=fp16 skipped one step after the other; by step {run.state.step} its scale fell to {scale:g}:"
                f" {ADVICE}, or precision=bf16"
            )
        if not sound(run, self.masks):
            self.broken = True
            self._look_closely(f"the state after step {run.state.step} is not finite")
            return False
        self.remember()
        return True

    def remember(self) -> None:
        """Take the state, which is sound, for the one to go back to."""
        self.good = Snapshot(self.run)

    def _look_closely(self, why: str) -> None:
        """Go back to the snapshot, to take the steps since then again, closely."""
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

    def _closely(self, inputs: Tensor, targets: Tensor) -> bool:
        run = self.run
        self.remember()
        self.broken = True
        try:
            self.take_closely(inputs, targets)
            if not sound(run, self.masks):
                raise NonFiniteError(f"the update produces numbers that are not finite {where(run)}")
        except NonFiniteError as error:
            return self._answer(error, inputs, targets)
        self.broken = False
        run.state.skipped_in_row = 0
        return True

    def _answer(self, error: NonFiniteError, inputs: Tensor, targets: Tensor) -> bool:
        """Do what ``loop.on_nonfinite`` says with the step that is to blame."""
        run, state, random = self.run, self.run.state, device.random_states(self.run.device)
        self._put_back()
        self.broken = True  # the step is computed once more
        message, facts = explain(run, error, inputs, targets, self.take_closely)
        self._put_back()
        try:
            self.writer.write(FILE, facts)
        except StorageError as trouble:
            self.reporter.note(str(trouble))
        action, bounded = policy(run.config.loop.on_nonfinite, state)
        if action == "stop":
            raise NonFiniteError(f"{message}{bounded}; {ADVICE}")
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
        saved = restore.newest(self.writer.directory)
        self.broken = True  # until all of it is restored
        state.best_weights = {}
        restore.restore(run, saved)
        state.rewinds, self.broken = rewinds, False
        self._end_close_look()
        self.reporter.forget(state.step)
        self.reporter.note(
            f"{message}; continuing from step {state.step} with {REWIND_FACTOR**rewinds:g} times the learning rate"
            f" (rewind {rewinds} of {MOST_REWINDS})"
        )

    def _tell_engine(self) -> None:
        """Report how steps are taken, once that is known, and write it to ``run.json``."""
        text = str(self.engine)
        if text == self.engine_told:
            return
        self.engine_told = text
        self.reporter.engine(text)
        if facts := rundir.read_json(self.writer.directory / "run.json"):
            with suppress(StorageError):  # a record may fail, and training goes on
                self.writer.write("run.json", facts | {"engine": text})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.engine.decided or self.run.state.step > self.first_step:
            self._tell_engine()
        if not isinstance(error, Exception) or isinstance(error, (Interrupted, Terminated, StorageError)):
            return
        if lacks_memory(error):
            _release(self.run, error)
        kept = self._save_good()
        if lacks_memory(error):
            raise UnavailableError(f"{out_of_memory(error)}; {kept}") from error
        if not isinstance(error, TrainctlError):
            path, own = shlex.quote(str(self.writer.directory)), phrases.components_argument(self.run.config.components)
            kept += f"; fix the error, then resume with: trainctl resume {path}{own}"
        self.reporter.note(kept)

    def _save_good(self) -> str:
        """Save the last good state; return what is kept, in words."""
        try:
            if self.broken:
                self._put_back()
            if sound(self.run, self.masks):
                self.writer.save()
                return f"the state at step {self.run.state.step} is saved"
        except (StorageError, RuntimeError, MemoryError) as trouble:  # must not hide the error that leads here
            return f"the newest checkpoint is the last good state ({str(trouble) or type(trouble).__name__})"
        return "the newest checkpoint is the last good state"


def warn(run: Run, metrics: Mapping[str, float], note: Callable[[str], None]) -> float | None:
    """Report a training loss that has grown far beyond where it began, and a monitored metric that is not finite.

    Returns:
        The first training loss, once there is one: what later ones are compared with.
    """
    state, value = run.state, metrics[run.config.monitor]
    loss = metrics.get("train/loss", math.nan)
    if not math.isfinite(value):
        note(f"{run.config.monitor} is {value} at step {state.step}, so this evaluation cannot be the best")
    if state.first_loss is None and math.isfinite(loss):
        return loss
    if state.first_loss is not None and loss > DIVERGED * state.first_loss > 0:
        note(
            f"diverging: train/loss is {loss:g} at step {state.step}, it was {state.first_loss:g} at first:"
            " try a smaller optimizer.lr or loop.clip_norm=1"
        )
    return state.first_loss


def _release(run: Run, error: BaseException) -> None:
    """Free the memory that a broken step holds: the values in its frames, and gradients."""
    traceback.clear_frames(error.__traceback__)
    for parameter in trained_by(run.optimizer):
        parameter.grad = None
    gc.collect()
