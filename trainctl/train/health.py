"""What keeps a run's numbers finite: a step that goes wrong is found, explained, and left out or undone.

To look at every gradient before every step costs a small network 4 % of its time. So a step looks at its loss only, and
now and then the guard looks at all weights and at the optimizer's state: what is not finite in a gradient stays in
them. Of the state that it found sound it keeps a copy. When something is wrong it goes back to that copy and takes the
same steps again, closely: each gradient is looked at before the update. Training repeats bit for bit, so it meets the
step that is to blame, and the state before that step is what is kept. An error in a step, of whatever kind, is met in
the same way.
"""

import gc
import math
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from trainctl.errors import (
    Interrupted,
    NonFiniteError,
    StorageError,
    Terminated,
    UnavailableError,
    lacks_memory,
    out_of_memory,
)
from trainctl.machine import device
from trainctl.run.rate import REWIND_FACTOR, learning_rate, schedule_position
from trainctl.run.reporter import Reporter
from trainctl.run.run import Run
from trainctl.step import eager as step
from trainctl.store import checkpoint, restore
from trainctl.train.checkpoint_writer import Writer

EVERY_STEPS = 100  # between looks at the whole state on a CPU; another device would have to be waited for
MOST_SKIPS_IN_ROW = 10
MOST_REWINDS = 5
LEAST_SCALE = 2.0**-10  # of fp16's losses; it starts at 2**16 and halves at every step that overflows
SHOWN = 8  # rows named in a message
FILE = "nonfinite.json"
DIVERGED = 10.0  # times the training loss up to the first evaluation
ADVICE = "try a smaller optimizer.lr, loop.clip_norm=1, or scale=standard"


class Copy:
    """A copy of all that steps and evaluations change.

    Args:
        run: Between two steps.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tensors = [tensor.detach().clone() for tensor in _tensors(run)]
        self.optimizer = _copied(run.optimizer.state_dict()["state"])
        self.groups = checkpoint.group_numbers(run.optimizer)
        self.scaler = run.scaler.state_dict()
        self.random = device.random_states(run.device)
        self.state = dict(vars(run.state))  # what it holds is replaced, never changed

    @torch.no_grad()
    def put_back(self, *, random: bool = True) -> None:
        """Set the run to it; the step has to be made anew, as the optimizer's tensors are others then."""
        run = self.run
        for tensor, kept in zip(_tensors(run), self.tensors, strict=True):
            tensor.copy_(kept)
        groups = run.optimizer.state_dict()["param_groups"]
        run.optimizer.load_state_dict({"state": _copied(self.optimizer), "param_groups": groups})
        restore.restore_group_numbers(run.optimizer, self.groups)
        if run.scaler.is_enabled():
            run.scaler.load_state_dict(self.scaler)
        if random:
            device.restore_random_states(self.random, run.device)
        vars(run.state).update(self.state)


def _copied(state: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    return {
        index: {key: value.clone() if isinstance(value, Tensor) else value for key, value in entries.items()}
        for index, entries in state.items()
    }


def _tensors(run: Run) -> list[Tensor]:
    models = [run.model] if run.average.model is run.model else [run.model, run.average.model]
    return [*(tensor for model in models for tensor in model.state_dict().values()), run.sums.sums]


def masks(run: Run) -> set[int]:
    """Return the places in :func:`_tensors` of buffers that are infinite by intent, such as an attention's mask."""
    learned = {parameter.data_ptr() for parameter in run.model.parameters()}
    return {
        place
        for place, tensor in enumerate(_tensors(run)[:-1])
        if tensor.data_ptr() not in learned and tensor.is_floating_point() and bool(tensor.isinf().any())
    }


@torch.no_grad()
def sound(run: Run, spared: Collection[int] = ()) -> bool:
    """Say whether weights, buffers, the optimizer's state and the running sums are finite; waits for the device.

    Args:
        run: Between two steps.
        spared: Places of the tensors that :func:`masks` found when training began.
    """
    tensors = _tensors(run)
    for place in spared:  # of those a NaN is found, no infinity
        tensors[place] = tensors[place].nan_to_num(math.nan, 0.0, 0.0)
    if run.scaler.is_enabled():  # a step that overflows is left out, its loss is summed
        tensors.pop()
    states = run.optimizer.state.values()
    tensors += [value for entries in states for value in entries.values() if isinstance(value, Tensor)]
    sums = [tensor.sum() for tensor in tensors if tensor.is_floating_point()]
    total = torch.stack([total.to(run.device, torch.float32) for total in sums]).sum()
    return math.isfinite(float(run.world.sum(total)))


@dataclass
class Guard:
    """Takes a run's steps and sees to it that what is not finite neither stays nor is kept.

    As a context it writes a checkpoint of the last completed step when an error leaves it.

    Args:
        run: To be trained.
        keeper: Writes its checkpoints.
        reporter: Is told what happens.
    """

    run: Run
    keeper: Writer
    reporter: Reporter

    def __post_init__(self) -> None:
        self.take, self.take_closely = step.make(self.run, self.reporter.detail), step.closely(self.run)
        self.good, self.masks = Copy(self.run), masks(self.run)
        self.until: int | None = None  # the step at which trouble showed; up to there steps are taken closely
        self.broken = False  # in the midst of a step, or not finite

    def step(self, inputs: Tensor, targets: Tensor) -> bool:
        """Take a step, or leave it out; say no if the run has gone back to an earlier step instead.

        Raises:
            NonFiniteError: If the step's numbers are not finite and that is not to be passed over.
        """
        run, state = self.run, self.run.state
        if self.until is not None:
            if state.step <= self.until:
                return self._closely(inputs, targets)
            self._trust()
        if run.device.type == "cpu" and state.step - self.good.state["step"] >= EVERY_STEPS:
            if not self.sound():
                return False
            self.remember()
        try:
            self.take(inputs, targets)
        except Exception as error:  # noqa: BLE001 - it comes again when the step is taken closely
            self._go_back(error)
            return False
        state.skipped_in_row = 0
        return True

    def sound(self) -> bool:
        """Say whether the state is fit to be evaluated and kept; if not, the run has gone back to an earlier step.

        Raises:
            NonFiniteError: If fp16 leaves out one step after the other.
        """
        run = self.run
        if self.until is not None:
            return True  # each step since the copy was looked at
        if run.scaler.is_enabled() and (scale := run.scaler.get_scale()) < LEAST_SCALE:
            raise NonFiniteError(
                f"precision=fp16 left out one step after the other, by step {run.state.step} its scale fell to {scale:g}:"
                f" {ADVICE}, or precision=bf16"
            )
        if not sound(run, self.masks):
            self._go_back(None)
            return False
        return True

    def remember(self) -> None:
        """Take the state, which is sound, for the one to go back to."""
        self.good = Copy(self.run)

    def _trust(self) -> None:
        """Take steps the fast way, from a state that is known to be sound."""
        self.until, self.take = None, step.make(self.run, self.reporter.detail)
        self.remember()

    def _go_back(self, error: Exception | None) -> None:
        self.until = self.run.state.step
        self._put_back(error)
        self.reporter.detail(f"looking closely at the steps from {self.run.state.step + 1} to {self.until + 1}")

    def _put_back(self, error: Exception | None) -> None:
        self.broken = True
        if error is not None:
            _release(self.run, error)
        self.good.put_back()
        self.broken = False

    def _closely(self, inputs: Tensor, targets: Tensor) -> bool:
        run = self.run
        self.remember()
        try:
            self.take_closely(inputs, targets)
            if not sound(run, self.masks):
                raise NonFiniteError(f"the update makes numbers that are not finite {step.where(run)}")
        except NonFiniteError as error:
            return self._answer(error, inputs, targets)
        except Exception as error:
            self._put_back(error)
            raise
        run.state.skipped_in_row = 0
        return True

    def _answer(self, error: NonFiniteError, inputs: Tensor, targets: Tensor) -> bool:
        """Do what ``loop.on_nonfinite`` says with the step that is to blame."""
        run, state, random = self.run, self.run.state, device.random_states(self.run.device)
        self._put_back(None)
        self.broken = True  # the step is computed once more
        message = self._explain(error, inputs, targets)
        self._put_back(None)
        match run.config.loop.on_nonfinite:
            case "skip" if state.skipped_in_row < MOST_SKIPS_IN_ROW:
                device.restore_random_states(random, run.device)
                state.skipped += 1
                state.skipped_in_row += 1
                self.reporter.note(f"left out: {message}")
                return True
            case "rewind" if state.rewinds < MOST_REWINDS:
                self._rewind(message)
                return False
            case "skip":
                message += f" ({MOST_SKIPS_IN_ROW} steps in a row were left out before)"
            case "rewind":
                message += f" (after {MOST_REWINDS} rewinds)"
        raise NonFiniteError(f"{message}; {ADVICE}")

    def _rewind(self, message: str) -> None:
        run, state, rewinds = self.run, self.run.state, self.run.state.rewinds + 1
        saved = restore.newest(self.keeper.directory)
        self.broken = True  # until all of it is restored
        state.best_weights = {}
        restore.restore(run, saved)
        state.rewinds, self.broken = rewinds, False
        self._trust()
        self.reporter.forget(state.step)
        self.reporter.note(
            f"{message}; going on from step {state.step} with {REWIND_FACTOR**rewinds:g} times the learning rate"
            f" (rewind {rewinds} of {MOST_REWINDS})"
        )

    def _explain(self, error: NonFiniteError, inputs: Tensor, targets: Tensor) -> str:
        """Say where it began, and write all of it to a file; the batch is computed once more."""
        run, rows = self.run, self.run.order.row_numbers(self.run.state.step)
        names = {id(parameter): name for name, parameter in run.model.named_parameters()}
        pairs = zip(step.trained_by(run.optimizer), error.gradients, strict=False)
        gradients = [names[id(parameter)] for parameter, gradient in pairs if _bad(gradient)]
        layer = first_layer(run.model, lambda: self.take_closely(inputs, targets))
        rate = learning_rate(run, schedule_position(run))
        unfit = [row for row, fit in zip(rows, _finite_rows(inputs), strict=True) if not fit]
        found = {
            "step": run.state.step + 1, "learning_rate": rate, "loss": str(error.loss), "layer": layer,
            "gradients": gradients, "rows_with_bad_inputs": unfit, "rows": rows,
        }  # fmt: skip
        try:
            self.keeper.write(FILE, found)
        except StorageError as trouble:
            self.reporter.note(str(trouble))
        parts = [str(error)]
        parts += [f"the output of {layer} is the first that is not finite"] if layer else []
        parts += [f"the gradient of {_few(gradients)} is not finite"] if gradients else []
        parts += [f"the inputs of row {_few(unfit)} are not finite"] if unfit else []
        return "; ".join([*parts, f"rows of the batch: {_few(rows)} of the training split (all in {FILE})"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, (Interrupted, Terminated, StorageError)):
            return
        _release(self.run, error)
        kept = "the newest checkpoint is the last good state"
        with suppress(StorageError, RuntimeError, MemoryError):
            if not self.broken and sound(self.run, self.masks):
                self.keeper.save()
                kept = f"the state at step {self.run.state.step} is saved"
        if lacks_memory(error):
            raise UnavailableError(f"{out_of_memory(error)}; {kept}") from error
        self.reporter.note(kept)


def warn(run: Run, found: Mapping[str, float], note: Callable[[str], None]) -> float | None:
    """Say if the training loss has grown far beyond where it began, or the monitored metric is not finite.

    Returns:
        The first training loss, once there is one: what later ones are compared with.
    """
    state, value = run.state, found[run.config.monitor]
    loss = found.get("train/loss", math.nan)
    if not math.isfinite(value):
        note(f"{run.config.monitor} is {value} at step {state.step}: passed over, never the best")
    if state.first_loss is None and math.isfinite(loss):
        return loss
    if state.first_loss is not None and loss > DIVERGED * state.first_loss > 0:
        note(
            f"diverging: train/loss is {loss:g} at step {state.step}, it was {state.first_loss:g} at first:"
            " try a smaller optimizer.lr or loop.clip_norm=1"
        )
    return state.first_loss


def first_layer(model: nn.Module, compute: Callable[[], object]) -> str:
    """Return the name and kind of the first layer that makes what is not finite out of what is, or nothing."""
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if not found and any(map(_bad, _flat(output))) and not any(map(_bad, _flat(given))):
                found.append(f"{name} ({type(module).__name__})")

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if not any(module.children())]
    handles = [module.register_forward_hook(watch(name)) for name, module in leaves]
    try:
        compute()
    except NonFiniteError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else ""


def _flat(value: Any) -> list[Any]:
    return [part for item in value for part in _flat(item)] if isinstance(value, (tuple, list)) else [value]


def _bad(value: Any) -> bool:
    return isinstance(value, Tensor) and not bool(torch.isfinite(value).all())


def _finite_rows(inputs: Tensor) -> list[bool]:
    finite: list[bool] = torch.isfinite(inputs.flatten(1)).all(1).tolist()
    return finite


def _few(values: Sequence[object]) -> str:
    shown = ", ".join(map(str, values[:SHOWN]))
    return shown if len(values) <= SHOWN else f"{shown} and {len(values) - SHOWN} more"


def _release(run: Run, error: BaseException) -> None:
    """Give back the memory that a broken step holds: the values in its frames, and gradients."""
    traceback.clear_frames(error.__traceback__)
    for parameter in step.trained_by(run.optimizer):
        parameter.grad = None
    gc.collect()
