"""The memory that a step takes beyond what is held between steps: activations, gradients, and the peak."""

import weakref
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainctl.errors import ConfigError, lacks_memory
from trainctl.measure.steps import duel, repeated, time_steps
from trainctl.run.run import Run
from trainctl.step.eager import eager
from trainctl.step.fused import trained_parameters
from trainctl.step.record import tensors


@dataclass(frozen=True)
class Footprint:
    """What eager steps take, all in bytes, but for the time.

    Args:
        word: The setting with which it was measured.
        peak: Most memory of tensors at once in a step, without what is held between steps.
        activations: What the forward pass of a batch, or of its first part, leaves for the backward pass.
        seconds: Time of a step [s].
    """

    word: str
    peak: float
    activations: float
    seconds: float


class Live(TorchDispatchMode):
    """Counts the bytes of the tensors that kernels create, until they are freed; for a CPU, whose allocator does not count."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self.known: dict[int, Any] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Avoid an import of PyTorch's compiler."""
        return False

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a kernel, and count what is new among its results."""
        before = {value.untyped_storage()._cdata for value in tensors([*args, *(kwargs or {}).values()])}
        returned = kernel(*args, **(kwargs or {}))
        for value in tensors([returned]):
            storage = value.untyped_storage()
            if storage._cdata not in before and storage._cdata not in self.known:
                self._add(storage)
        return returned

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)

        def freed() -> None:
            self.now -= size
            self.known.pop(key, None)

        self.known[key] = weakref.finalize(storage, freed)


def footprints(run: Run, steps: int) -> list[Footprint]:
    """Measure eager steps as they are, and with activations that are computed again, or kept if they are not now.

    Args:
        run: A run whose weights do not change.
        steps: Number of steps to time.

    Returns:
        Two measurements; one if the model has no blocks, none if memory ran out.
    """
    now = run.config.loop.checkpoint_activations
    other = replace(run, config=replace(run.config, loop=replace(run.config.loop, checkpoint_activations=not now)))
    try:
        try:
            changed = repeated(other, eager(other))
        except ConfigError:  # the model has no blocks
            seconds, ways = [time_steps(repeated(run, eager(run)), steps, run.device)], [run]
        else:
            seconds, ways = [*duel(repeated(run, eager(run)), changed, steps, run.device)], [run, other]
        return [_footprint(one, each) for one, each in zip(ways, seconds, strict=True)]
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        return []


def _footprint(run: Run, seconds: float) -> Footprint:
    peak, activations = of_step(run)
    word = f"loop.checkpoint_activations={str(run.config.loop.checkpoint_activations).lower()}"
    return Footprint(word, peak, activations, seconds)


def of_step(run: Run) -> tuple[float, float]:
    """Return the peak of an eager step, and the activations that are kept for its backward pass [bytes]."""
    run.state.step = 0  # a full batch
    batch = next(run.order.batches(0))
    for parameter in trained_parameters(run.optimizer):
        parameter.grad = None
    live, marks = Live(), dict[str, float]()
    on_gpu = run.device.type == "cuda"

    def read() -> float:
        return float(torch.cuda.memory_allocated(run.device) if on_gpu else live.now)

    def mark(part: str) -> None:
        marks.setdefault(part, read())

    take = eager(run, mark)
    before = read()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(run.device)
        take(*batch)
        most = float(torch.cuda.max_memory_allocated(run.device))
    else:
        with live:
            take(*batch)
        most = float(live.most)
    return most - before, marks["backward"] - marks["forward"]
