"""Changes of a configuration that may be faster, each measured alternately with the unchanged run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from trainctl.errors import NonFiniteError, lacks_memory
from trainctl.machine import memory, threads
from trainctl.measure.steps import duel, repeated
from trainctl.run import checks
from trainctl.run.plan import make_plan
from trainctl.run.run import Run
from trainctl.step.engine import Engine
from trainctl.step.part import ignore
from trainctl.train import evaluation

LARGER = 4  # factor for the batch size, to try whether more rows are faster


@dataclass(frozen=True)
class Trial:
    """A change of the configuration, measured alternately with the unchanged run.

    Args:
        word: The override to type.
        before: Rows per second without the change.
        after: Rows per second with the change.
    """

    word: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        """Speed with the change, as a multiple of the speed without it."""
        return self.after / self.before


def trials(run: Run, recorded: bool, steps: int, taken: float) -> Iterator[Trial]:
    """Measure steps with one change at a time, alternately with steps of the unchanged run.

    Args:
        run: The unchanged run.
        recorded: Whether its steps are recorded.
        steps: Number of steps to measure of each.
        taken: Memory used by its steps [bytes].
    """
    used = torch.get_num_threads()
    base = repeated(run, Engine(run, ignore).take)
    try:
        for word, changed, count in changes(run, recorded, taken):
            try:
                # A recording is valid only for one number of threads and one precision.
                torch.set_num_threads(count or used)
                other = repeated(changed, Engine(changed, ignore).take)
                before, after = duel(
                    _with_threads(base, used, count), _with_threads(other, count, count), steps, run.device
                )
            except (NonFiniteError, RuntimeError, MemoryError) as error:
                if lacks_memory(error) or "precision" in word:  # the device or the model does not support it
                    run.optimizer.zero_grad()
                    continue
                raise
            yield Trial(word, run.plan.batch_size / before, changed.plan.batch_size / after)
    finally:
        torch.set_num_threads(used)


def _with_threads(take: Callable[[], None], used: int, count: int) -> Callable[[], None]:
    """Return a step that first sets the number of threads, if the trial changes it."""
    if not count:
        return take

    def once() -> None:
        torch.set_num_threads(used)
        take()

    return once


def changes(run: Run, recorded: bool, taken: float) -> Iterator[tuple[str, Run, int]]:
    """Yield the changes to try: the overrides to type, the changed run, and its threads if these are changed, else 0."""
    config, plan, rows = run.config, run.plan, len(run.data.splits["train"])
    precisions = [precision for precision in ("fp32", "bf16") if precision != config.precision != "fp16"]
    for precision in precisions:
        yield f"precision={precision}", replace(run, config=replace(config, precision=cast(Any, precision))), 0
    if config.loop.clip_norm is not None or config.loop.clip_value is not None:
        words = [f"loop.{key}=null" for key in ("clip_norm", "clip_value") if getattr(config.loop, key) is not None]
        yield " ".join(words), _with_loop(run, clip_norm=None, clip_value=None), 0
    if config.loop.checkpoint_activations:
        yield "loop.checkpoint_activations=false", _with_loop(run, checkpoint_activations=False), 0
    if config.loop.compile:
        yield "loop.compile=false", _with_loop(run, compile=False), 0
    if run.device.type == "cpu" and not config.loop.compile:
        mode = "never" if recorded else "always"
        if mode == "never" or (config.loop.record == "auto" and config.components):
            yield f"loop.record={mode}", _with_loop(run, record=mode), 0
        idle = (threads.current_watch().choose() or run.threads).threads
        for count in sorted({1, idle} - {torch.get_num_threads()}):
            yield f"threads={count}", run, count
    if plan.batch_size < rows and 2 * LARGER * taken < memory.free(run.device):
        sizes = range(min(rows, LARGER * plan.batch_size), plan.batch_size, -1)
        parts = config.loop.micro_batches  # a batch norm needs two rows
        if size := next((size for size in sizes if checks.smallest_part(rows, size, parts) > 1), None):
            changed = _with_loop(run, batch_size=size)
            free = 0 if run.data.without_label is None else len(run.data.without_label)
        yield f"loop.batch_size={size}", replace(changed, plan=make_plan(changed.config, rows, free)), 0


def _with_loop(run: Run, **settings: Any) -> Run:
    return replace(run, config=replace(run.config, loop=replace(run.config.loop, **settings)))


def evaluation_trials(run: Run) -> Iterator[Trial]:
    """Measure an evaluation with larger portions, if the validation split has more than one."""
    rows, size = len(run.data.splits["val"]), run.evaluation.batch_size
    if size >= rows:
        return
    larger = min(rows, LARGER * size)
    changed = replace(run.evaluation, batch_size=larger)
    try:
        before, after = duel(
            lambda: evaluation.evaluate(run.evaluation, "val"),
            lambda: evaluation.evaluate(changed, "val"),
            1,
            run.device,
        )
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        return
    yield Trial(f"loop.eval_batch_size={larger}", rows / before, rows / after)
