"""Where the time of a step goes, on an assembled run in memory; nothing is written but a trace that is asked for."""

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from trainctl.errors import NonFiniteError, lacks_memory
from trainctl.machine import device, memory, threads
from trainctl.measure import flops
from trainctl.measure.marks import Mark, Marked, Meter, Ranges, marked
from trainctl.report.files import Files
from trainctl.report.plain import Plain
from trainctl.run import assemble, checks, factory
from trainctl.run.rate import set_learning_rate
from trainctl.run.reporter import MultiReporter
from trainctl.run.run import Run
from trainctl.step import eager as step
from trainctl.store import checkpoint
from trainctl.train import evaluation, loop
from trainctl.train.budget import Clock, end_reason

WARM_UP = 5  # steps that do not count: allocators and caches fill, the step is recorded and checked
BLOCKS = 5  # in which an accelerator's steps are timed, as it works on while the host is ahead
LARGER = 4  # times the batch size, to try whether more rows are faster
LARGE = 0.2  # share of the time from which on something is looked at
MOST_SECONDS = 2.0  # for one change that is tried
MOST_EVALUATIONS = 3
TRACED = 3  # steps of each kind
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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


@dataclass(frozen=True)
class Profile:
    """What was measured; times are medians [s].

    Args:
        rows: In a step.
        steps_per_epoch: Optimizer steps in an epoch.
        eval_every: Optimizer steps between evaluations.
        parts: Time of each part of an eager step; ``augmentation:crop`` is a share of a part.
        whole: Time of a step as training takes it.
        replayed: Whether that was a recording.
        notes: What the step said of recording.
        evaluation: Time of one evaluation.
        reporting: Time of telling the reporters and writing their files, for one evaluation.
        checkpoint: The same of a checkpoint, which may be due more rarely.
        flops: Floating-point operations of matrix products and convolutions in each part of a step.
        uncounted: Operations with such products that nobody has counted.
        peak: Operations a second in a large matrix product.
        peak_size: Its rows and columns.
        memory: Bytes, by what takes them.
        trials: Changes that were tried.
    """

    rows: int
    steps_per_epoch: int
    eval_every: int
    parts: Mapping[str, float]
    whole: float
    replayed: bool
    notes: Sequence[str]
    evaluation: float
    reporting: float
    checkpoint: float
    flops: Mapping[str, float]
    uncounted: Sequence[str]
    peak: float
    peak_size: int
    memory: Mapping[str, float]
    trials: Sequence[Trial]

    def part(self, name: str) -> float | None:
        """Return the time of a part with all its shares [s]; None if no step has it."""
        found = [value for key, value in self.parts.items() if key.partition(":")[0] == name]
        return sum(found) if found else None

    @property
    def eager(self) -> float:
        """The sum of the parts [s]."""
        return sum(self.parts.values())

    @property
    def achieved(self) -> float | None:
        """Operations a second in a whole step; None if some were not counted."""
        return None if self.uncounted else sum(self.flops.values()) / self.whole


def measure(run: Run, steps: int) -> Profile:
    """Measure a run's steps in parts and as a whole, its evaluation and reporting, and changes that may be faster.

    The learning rate is 0, so that nothing diverges however long it is measured, and with whatever change.

    Args:
        run: Freshly assembled.
        steps: To measure of each kind, after a few that warm up.

    Raises:
        NonFiniteError: If the loss of the initial weights is not finite.
    """
    for group in run.optimizer.param_groups:
        group["initial_lr"] = 0.0
    resident = memory.peak()
    parts = time_parts(run, steps)
    notes: list[str] = []
    take = stepper(run, step.make(run, notes.append))
    whole = time_steps(take, steps, run.device)
    replayed = is_replayed(run, take)
    taken = memory.peak() - resident
    found, uncounted = count_flops(run)
    evaluating, reporting, saving = time_look(run, take)
    held = measure_memory(run)
    peak, size = flops.peak(DTYPES[run.config.precision], run.device)
    slow = evaluating > LARGE * (evaluating + run.plan.eval_every * whole)
    return Profile(
        rows=run.plan.batch_size,
        steps_per_epoch=run.plan.steps_per_epoch,
        eval_every=run.plan.eval_every,
        parts=parts,
        whole=whole,
        replayed=replayed,
        notes=notes,
        evaluation=evaluating,
        reporting=reporting,
        checkpoint=saving * _share_due(run, run.plan.eval_every * whole + evaluating),
        flops=found,
        uncounted=uncounted,
        peak=peak,
        peak_size=size,
        memory=held,
        trials=[*trials(run, replayed, steps, taken), *(evaluation_trials(run) if slow else ())],
    )


def _share_due(run: Run, seconds: float) -> float:
    """Return at which share of the evaluations a checkpoint is written, if they come that many seconds apart."""
    every = run.config.checkpoint.every_seconds
    return 1.0 if every <= seconds else seconds / every


# Steps, and the parts of one.


def stepper(run: Run, take: step.Step, mark: Mark = lambda part: None) -> Callable[[], None]:
    """Return a function that does what the loop does for a step; after the last planned step it begins anew."""
    batches, clock = run.order.batches(run.state.step), Clock(run)

    def once() -> None:
        mark("data")
        inputs, targets = next(batches)
        mark("bookkeeping")
        set_learning_rate(run)
        take(inputs, targets)
        run.state.step = (run.state.step + 1) % run.plan.total_steps  # schedules end there
        run.state.seconds = clock.seconds()
        end_reason(run)

    return once


def time_parts(run: Run, steps: int) -> dict[str, float]:
    """Return the median time of each part of an eager step [s]; an accelerator is waited for around each."""

    def now() -> float:
        device.synchronize(run.device)
        return time.perf_counter()

    meter = Meter(now)
    known = marked(run, meter)
    take, laps = stepper(known, step.eager(known), meter), []
    for index in range(WARM_UP + steps):
        take()
        lap = meter.lap()
        laps += [lap] if index >= WARM_UP else []
    return {part: statistics.median(lap.get(part, 0.0) for lap in laps) for part in dict.fromkeys(chain(*laps))}


def time_steps(take: Callable[[], object], steps: int, place: torch.device) -> float:
    """Return the median time of undisturbed steps [s]."""
    warm_up(take)
    return statistics.median(laps(take, steps, place))


def warm_up(take: Callable[[], object]) -> None:
    """Take a few steps that do not count; fewer of slow ones, which have little to warm up."""
    begin = time.perf_counter()
    for _ in range(WARM_UP):
        take()
        if time.perf_counter() - begin > MOST_SECONDS:
            break


def laps(take: Callable[[], object], steps: int, place: torch.device) -> Iterator[float]:
    """Yield the time of each step; on an accelerator, of a few in a row, as waiting for it disturbs them [s]."""
    block = 1 if place.type == "cpu" else -(-steps // BLOCKS)
    device.synchronize(place)
    for _ in range(0, steps, block):
        start = time.perf_counter()
        for _ in range(block):
            take()
        device.synchronize(place)
        yield (time.perf_counter() - start) / block


def is_replayed(run: Run, take: Callable[[], object]) -> bool:
    """Say whether steps pass by the model: then they replay what was recorded."""
    called: list[bool] = []
    handle = run.model.register_forward_pre_hook(lambda *_: called.append(True))
    try:
        for _ in range(3):  # one may be of a shape that was not recorded yet
            before = len(called)
            take()
            if len(called) == before:
                return True
    finally:
        handle.remove()
    return False


# What else a run does.


def time_look(run: Run, take: Callable[[], object]) -> tuple[float, float, float]:
    """Return the median times of one evaluation, of reporting it and of a checkpoint [s], in a temporary directory."""
    meter, found = Meter(time.perf_counter), list[dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        loggers = factory.members(run.config, "logger", directory=directory)
        reporter = MultiReporter(Files(directory, loggers), Plain(io.StringIO()))
        try:
            reporter.start(run, directory, [])
            told = Marked(reporter, meter, {"evaluation": "reporting"}, {"evaluation": "evaluation"})
            begin = time.perf_counter()
            while len(found) < MOST_EVALUATIONS and time.perf_counter() - begin < MOST_SECONDS:
                take()
                device.synchronize(run.device)
                meter("evaluation")
                loop.look(run, cast(Any, told), Clock(run))
                device.synchronize(run.device)
                meter("checkpoint")
                checkpoint.save(run, directory)
                found.append(meter.lap())
        finally:
            reporter.close()
    medians = [statistics.median(lap[part] for lap in found) for part in ("evaluation", "reporting", "checkpoint")]
    return medians[0], medians[1], medians[2]


def measure_memory(run: Run) -> dict[str, float]:
    """Return what takes memory [bytes]."""
    weights = {id(tensor): tensor for tensor in chain(run.model.parameters(), run.model.buffers())}
    average = [] if run.average.model is run.model else [*run.average.model.parameters(), *run.average.model.buffers()]
    optimizer = [entry for state in run.optimizer.state.values() for entry in state.values()]
    found = {"peak of the process": memory.peak()}
    if run.device.type == "cuda":
        found["peak on the device"] = float(torch.cuda.max_memory_allocated(run.device))
    found["data"] = float(sum(rows.nbytes for rows in run.data.splits.values()))
    sizes: dict[str, Iterable[Any]] = {
        "weights": weights.values(),
        "averaged weights": average,
        "optimizer": optimizer,
    }
    found |= {name: float(sum(one.nbytes for one in held if isinstance(one, Tensor))) for name, held in sizes.items()}
    return {name: size for name, size in found.items() if size}


# Arithmetic.


def count_flops(run: Run) -> tuple[dict[str, float], list[str]]:
    """Return the operations of each part of one step on a whole batch, and the names of those that nobody counts.

    A multiplication and an addition are two; what is done element by element is left out.
    """
    run.state.step = 0  # an epoch's last batch may be smaller
    counter, unknown = flops.counter(), flops.Uncounted()
    meter = Meter(counter.get_total_flops)
    known = marked(run, meter)
    take = stepper(known, step.eager(known), meter)
    with counter, unknown:
        take()
        found = meter.lap()
    return {part: value for part, value in found.items() if value}, sorted(unknown.names)


# Changes that may be faster.


def trials(run: Run, replayed: bool, steps: int, taken: float) -> Iterator[Trial]:
    """Measure the whole step with one thing changed, in turns with the run as it is.

    Args:
        run: As it is.
        replayed: Whether its steps are.
        steps: To measure of each.
        taken: The memory that its steps took [bytes].
    """
    used = torch.get_num_threads()
    base = stepper(run, step.make(run, lambda note: None))
    try:
        for word, changed, count in changes(run, replayed, taken):
            try:
                # The recorded step of another number of threads, or of another precision, is another one.
                torch.set_num_threads(count or used)
                other = stepper(changed, step.make(changed, lambda note: None))
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


def changes(run: Run, replayed: bool, taken: float) -> Iterator[tuple[str, Run, int]]:
    """Yield what may be changed: the words to type, the run so changed, and its threads if they are the change."""
    config, plan, rows = run.config, run.plan, len(run.data.splits["train"])
    others = [precision for precision in ("fp32", "bf16") if precision != config.precision != "fp16"]
    for precision in others:
        yield f"precision={precision}", replace(run, config=replace(config, precision=cast(Any, precision))), 0
    if config.loop.clip_norm is not None or config.loop.clip_value is not None:
        words = [f"loop.{key}=null" for key in ("clip_norm", "clip_value") if getattr(config.loop, key) is not None]
        yield " ".join(words), _with_loop(run, clip_norm=None, clip_value=None), 0
    if run.device.type == "cpu":
        mode = "never" if replayed else "always"
        if mode == "never" or (config.loop.capture == "auto" and config.components):
            yield f"loop.capture={mode}", _with_loop(run, capture=mode), 0
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


def duel(
    first: Callable[[], object], second: Callable[[], object], steps: int, place: torch.device
) -> tuple[float, float]:
    """Return the median step times of two ways to train [s], measured in turns: a machine's speed changes."""
    found: tuple[list[float], list[float]] = ([], [])
    for take in (first, second):
        warm_up(take)
    begin = time.perf_counter()
    for _ in range(BLOCKS):
        for take, times in zip((first, second), found, strict=True):
            times += laps(take, -(-steps // BLOCKS), place)
        if time.perf_counter() - begin > MOST_SECONDS:
            break
    return statistics.median(found[0]), statistics.median(found[1])


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


# A trace.


def trace(run: Run, replayed: bool) -> bytes:
    """Return a Chrome trace of a few steps: eager ones with their parts by name, and replayed ones if training has such."""
    from torch.profiler import ProfilerActivity, profile, record_function

    ranges = Ranges()
    known = marked(run, ranges)
    kinds = {"eager step": (stepper(known, step.eager(known), ranges), ranges)}
    if replayed:
        whole = Ranges()  # forward and backward are one: the ranges of their parts are not recorded
        take = stepper(run, step.make(run, lambda note: None), lambda part: whole("step" if part != "data" else part))
        kinds["replayed step"] = (take, whole)
    for take, end in kinds.values():
        for _ in range(WARM_UP):
            take()
            end("")
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (run.device.type == "cuda")
    with profile(activities=activities, acc_events=True) as profiler:
        for name, (take, end) in kinds.items():
            for _ in range(TRACED):
                with record_function(name):
                    take()
                    end("")
        device.synchronize(run.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        return path.read_bytes()


def describe(run: Run) -> str:
    """Name what was measured: model, data, device, precision."""
    parts = run.config.parts
    rows = len(run.data.splits["train"])
    return (
        f"model={parts['model']['name']} dataset={parts['dataset']['name']} optimizer={parts['optimizer']['name']},"
        f" {run.plan.batch_size:,} of {rows:,} rows a step, {device.name(run.device, run.threads)}, {run.config.precision}"
    )
