"""Which way optimizer steps are taken: eagerly, or by a recording that has given the numbers of the eager step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainctl.components.augment.base import Mixing
from trainctl.errors import lacks_memory
from trainctl.machine.device import random_states, restore_random_states
from trainctl.run.run import Run
from trainctl.step import replay
from trainctl.step.cuda_graph import Graphs
from trainctl.step.eager import Step, apply, differentiate, optimizer_step
from trainctl.step.fused import Update, lacking, trained_by
from trainctl.step.part import Part, Seen
from trainctl.step.record import MOST_BYTES, Build, Program, Recorder, Recording, Unsupported

CHECK_EVERY = 5000  # recorded parts of a batch between two comparisons; one takes as long as five to ten small steps
# Allowed differences from the eager computation on a GPU, as a share of a tensor's norm: some rounding, or a multiple
# of the difference between two eager runs, as kernels that add atomically have no order.
ROUNDING = {"fp32": 64 * torch.finfo(torch.float32).eps, "bf16": 2.0**-7, "fp16": 2.0**-10}
TIMES_EAGER = 4.0
UNDECIDED = "no recorded step has been checked yet"


@dataclass(frozen=True)
class Accelerator:
    """A way to repeat a recorded computation in less time.

    Args:
        name: For messages.
        build: Makes a program of a recording, or raises Unsupported.
        exact: Whether the program must give the bits of the eager computation; if not, numbers as close as those of a
            second eager run.
        keeps_calls: Whether it needs the recorded kernels; if not, they are only judged.
    """

    name: str
    build: Build
    exact: bool
    keeps_calls: bool


def accelerator(run: Run) -> tuple[Accelerator | None, str]:
    """Return how a run's steps are to be accelerated; if not at all, None and why."""
    mode = run.config.loop.record
    if mode == "never":
        return None, "loop.record=never"
    if run.device.type not in MOST_BYTES:
        return None, f"steps are not recorded on device={run.device.type}"
    if mode == "auto" and run.config.components:
        return None, "components of your own are recorded only with loop.record=always"
    if run.device.type == "cuda":
        graphs = Graphs(keep=run.config.loop.micro_batches > 1)
        return Accelerator("CUDA graph", graphs.build, exact=False, keeps_calls=False), ""
    return Accelerator("recorded", replay.build, exact=True, keeps_calls=True), ""


class Engine:
    """Takes a run's optimizer steps in the fastest way that gives the numbers of the eager step.

    A part of a batch is computed eagerly and recorded the first time that its shape comes, both ways and compared the
    second time, and replayed from then on; now and then it is compared again. What cannot be recorded, or gives other
    numbers, is computed eagerly.

    Args:
        run: To be trained.
        note: Is told, in a line for the user, if a recording failed or gave other numbers.
    """

    def __init__(self, run: Run, note: Callable[[str], None]) -> None:
        self.run, self.note, self.compute = run, note, differentiate(run)
        self.accelerator, self.reason = accelerator(run)
        self.count = 1 + len(trained_by(run.optimizer))  # of a part's loss and gradients
        self.unchecked: dict[Any, Program] = {}
        self.trusted: dict[Any, Program] = {}
        self.agreed: dict[Any, int] = {}  # the last step in which a program was compared
        self.left = CHECK_EVERY  # parts until the next comparison
        self.recorded, self.missing = False, ""
        if self.accelerator is None:
            self.take: Step = optimizer_step(run, self.compute, apply(run))
            return
        self.reason, self.missing = UNDECIDED, lacking(run.optimizer)
        self.take = optimizer_step(run, self.part, Update(run, apply(run)))
        if run.scaler.is_enabled():  # makes its tensors at its first call: in a recording they would be copies
            run.scaler.scale(torch.ones((), device=run.device))

    @property
    def decided(self) -> bool:
        """Whether it is known how steps are taken: after the first few of them."""
        return self.reason != UNDECIDED

    def __str__(self) -> str:
        """Return how steps are taken, and where that is not the fastest way, why."""
        name = self.accelerator.name if self.accelerator and self.recorded else "eager"
        why = "; ".join(filter(None, [self.reason, f"this torch has no {self.missing}" if self.missing else ""]))
        return f"{name}: {why}" if why else name

    def part(
        self, inputs: Tensor, targets: Tensor, augmented: Tensor | None, mixings: Sequence[Mixing], share: float
    ) -> Part:
        """Compute a part of a batch."""
        if mixings and self.accelerator:  # before all else: a program knows nothing of them
            self._give_up("rows are mixed")
        if self.accelerator is None:
            return self.compute(inputs, targets, augmented, mixings, share)
        given = [tensor for tensor in (inputs, targets, augmented) if tensor is not None]
        kind = (inputs.shape, share, augmented is inputs)  # an augmentation may leave a batch alone now and then
        if program := self.trusted.get(kind):
            self.left -= 1
            if self.left:
                return self._unpacked(program(*given))
            self._check_again()

        def compute(inputs: Tensor, targets: Tensor, augmented: Tensor | None = None) -> list[Any]:
            part = self.compute(inputs, targets, augmented, (), share)
            return [part.loss, *part.gradients, *(part.seen or ())]

        if kind in self.unchecked:
            return self._unpacked(self._check(self.accelerator, kind, compute, given))
        return self._unpacked(self._record(self.accelerator, kind, compute, given))

    def _unpacked(self, values: list[Any]) -> Part:
        seen = values[self.count :]
        return Part(values[0], values[1 : self.count], Seen(*seen) if seen else None)

    def _record(self, way: Accelerator, kind: Any, compute: Callable[..., list[Any]], given: list[Tensor]) -> list[Any]:
        """Compute a part eagerly, and make a program of it."""
        with Recorder(self.run.device.type, keep=way.keeps_calls) as recorder:
            results = compute(*given)
        if recorder.trouble:
            self._give_up(recorder.trouble)
            return results
        try:
            with self._unchanged():
                self.unchecked[kind] = way.build(Recording(compute, given, results, recorder.calls))
        except Unsupported as error:
            self._give_up(str(error))
        return results

    def _check(self, way: Accelerator, kind: Any, compute: Callable[..., list[Any]], given: list[Tensor]) -> list[Any]:
        """Compute a part both ways from the same state, and trust the program if the numbers are the same.

        Numbers that are not finite, as where fp16 overflows, show nothing: then the next part of its kind decides.
        """
        program, trouble, outcomes = self.unchecked[kind], "", []
        for again in [program] if way.exact else [program, compute]:
            try:
                with self._unchanged():
                    outcomes.append(self._outcome(again(*given)))
            except Exception as error:
                if again is compute and not lacks_memory(error):
                    raise
                trouble = "out of memory" if lacks_memory(error) else str(error).partition("\n")[0]
        results = compute(*given)  # raises what the program raised, if that is the user's
        if trouble:
            self._disagree(kind, f"failed ({trouble})")
            return results
        eager = self._outcome(results)
        if not all(bool(value.isfinite().all()) for value in eager.values if value is not None):
            return results
        if agree(outcomes, eager, 0.0 if way.exact else ROUNDING[self.run.config.precision]):
            self.trusted[kind] = self.unchecked.pop(kind)
            self.agreed[kind] = self.run.state.step + 1
            self.recorded, self.reason = True, ""
        else:
            self._disagree(kind, "gave other numbers than the eager step")
        return results

    def _check_again(self) -> None:
        """Have every program compared anew, at the next part of its kind."""
        self.unchecked |= self.trusted
        self.trusted.clear()
        self.left = CHECK_EVERY

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Put back what computing a part changes beside its results: buffers, metrics and random states."""
        place, changing = self.run.device, self._changing()
        before, random = [tensor.clone() for tensor in changing], random_states(place)
        try:
            yield
        finally:
            for tensor, kept in zip(changing, before, strict=True):
                tensor.copy_(kept)
            restore_random_states(random, place)

    def _outcome(self, results: list[Any]) -> "Outcome":
        after = [tensor.clone() for tensor in self._changing()]
        return Outcome([*results, *after], random_states(self.run.device))

    def _changing(self) -> list[Tensor]:
        return [*self.run.model.buffers(), self.run.sums.sums]

    def _disagree(self, kind: Any, what: str) -> None:
        """Compute eagerly from now on, and tell the user."""
        since = f"; steps since step {self.agreed[kind]} may be affected" if kind in self.agreed else ""
        self.note(
            f"step {self.run.state.step + 1}: the recorded step {what}, so steps are computed eagerly from now on{since}"
        )
        self._give_up(f"the recorded step {what}")

    def _give_up(self, reason: str) -> None:
        """Compute eagerly from now on."""
        self.accelerator, self.recorded, self.reason = None, False, reason
        self.trusted.clear()
        self.unchecked.clear()


class Outcome(NamedTuple):
    """All that computing a part leaves behind.

    Args:
        values: Its results, and the tensors that it changes in place.
        random: States of the generators.
    """

    values: Sequence[Tensor | None]
    random: Mapping[str, Tensor]


def agree(outcomes: Sequence[Outcome], eager: Outcome, rounding: float) -> bool:
    """Return whether a program's outcome is that of the eager computation.

    Args:
        outcomes: Of the program; and where bits may differ, of a second eager run.
        eager: What is to be met.
        rounding: The difference that is always allowed, as a share of a tensor's norm; 0 for the same bits.
    """
    program, *again = outcomes
    if any(not torch.equal(program.random[key], state) for key, state in eager.random.items()):
        return False
    if not again:
        return all(map(_same, program.values, eager.values))
    return all(_close(*values, rounding) for values in zip(program.values, eager.values, again[0].values, strict=True))


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    """Return whether two tensors have the same values and layout; NaN equals nothing."""
    if one is None or other is None:
        return one is other
    return one.stride() == other.stride() and torch.equal(one, other)


def _close(one: Tensor | None, eager: Tensor | None, again: Tensor | None, rounding: float) -> bool:
    """Return whether two tensors have the same layout, and values no further apart than those of two eager runs."""
    if one is None or eager is None or again is None:
        return one is eager is again
    if one.stride() != eager.stride() or one.shape != eager.shape:
        return False
    allowed = torch.maximum(TIMES_EAGER * (again - eager).double().norm(), rounding * eager.double().norm())
    return bool((one - eager).double().norm() <= allowed)
