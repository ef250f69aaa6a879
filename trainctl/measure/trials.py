"""Changes of a configuration that may be faster, each measured in turns with the run as it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from trainctl.errors import NonFiniteError, lacks_memory
from trainctl.machine import memory, threads
from trainctl.measure.steps import duel, repeated
from trainctl.run import assemble, checks
from trainctl.run.run import Run
from trainctl.step.engine import Engine
from trainctl.step.part import ignore
from trainctl.train import evaluation

LARGER = 4  # times the batch size, to try whether more rows are faster


@dataclass(frozen=True)
class Trial:
    """One change of the configuration, measured in turns with the run as it is.

    Args:
        word: What to type.
        before: Rows a second as it is.
        after: Rows a second with the change.
    """

    word: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        """How many times as fast the change is."""
        return self.after / self.before


def trials(run: Run, recorded: bool, steps: int, taken: float) -> Iterator[Trial]:
    """Measure the whole step with one thing changed, in turns with the run as it is.

    Args:
        run: As it is.
        recorded: Whether its steps are.
        steps: To measure of each.
        taken: The memory that its steps took [bytes].
    """
    used = torch.get_num_threads()
    base = repeated(run, Engine(run, ignore).take)
    try:
        for word, changed, count in changes(run, recorded, taken):
            try:
                # The recorded step of another number of threads, or of another precision, is another one.
                torch.set_num_threads(count or used)
                other = repeated(changed, Engine(changed, ignore).take)
                before, after = duel(
                    _with_threads(base, used, count), _with_threads(other, count, count), steps, run.device
                )
            except (NonFiniteError, RuntimeError, MemoryError) as error:
                if lacks_memory(error) or "precision" in word:  # the device, or the model, cannot do it
                    run.optimizer.zero_grad()
                    continue
                raise
            yield Trial(word, run.plan.batch_size / before, changed.plan.batch_size / after)
    finally:
        torch.set_num_threads(used)


def _with_threads(take: Callable[[], None], used: int, count: int) -> Callable[[], None]:
    """Return a step that sets the number of threads first, if a trial changes it."""
    if not count:
        return take

    def once() -> None:
        torch.set_num_threads(used)
        take()

    return once


def changes(run: Run, recorded: bool, taken: float) -> Iterator[tuple[str, Run, int]]:
    """Yield what may be changed: the words to type, the run so changed, and its threads if they are the change."""
    config, plan, rows = run.config, run.plan, len(run.data.splits["train"])
    others = [precision for precision in ("fp32", "bf16") if precision != config.precision != "fp16"]
    for precision in others:
        yield f"precision={precision}", replace(run, config=replace(config, precision=cast(Any, precision))), 0
    if config.loop.clip_norm is not None or config.loop.clip_value is not None:
        words = [f"loop.{key}=null" for key in ("clip_norm", "clip_value") if getattr(config.loop, key) is not None]
        yield " ".join(words), _with_loop(run, clip_norm=None, clip_value=None), 0
    if run.device.type == "cpu":
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
            yield f"loop.batch_size={size}", replace(changed, plan=assemble.make_plan(changed.config, rows)), 0


def _with_loop(run: Run, **settings: Any) -> Run:
    return replace(run, config=replace(run.config, loop=replace(run.config.loop, **settings)))


def evaluation_trials(run: Run) -> Iterator[Trial]:
    """Measure an evaluation in larger portions, if it takes more than one."""
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
