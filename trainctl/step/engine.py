"""Choice of how to take optimizer steps: eagerly, or by a recording whose results match those of the eager step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainctl.components.compress.base import one_phase
from trainctl.errors import lacks_memory
from trainctl.machine.device import random_states
from trainctl.run.run import Run
from trainctl.step import replay
from trainctl.step.compiled import Compiled
from trainctl.step.cuda_graph import Graphs
from trainctl.step.eager import Step, apply, differentiate, optimizer_step
from trainctl.step.fused import Update, lacking, trained_parameters
from trainctl.step.part import Part, Piece, Seen
from trainctl.step.recompute import draws
from trainctl.step.record import MOST_BYTES, Build, Program, Recorder, Recording, Unsupported
from trainctl.step.sharded import is_sharded
from trainctl.step.unchanged import changing, unchanged

CHECK_EVERY = (
    5000  # recorded parts of a batch between two comparisons; a comparison takes as long as 5 to 10 small steps
)
# Allowed difference from the eager computation on a GPU: this fraction of a tensor's norm for rounding, or TIMES_EAGER
# times the difference between two eager runs, since kernels that add atomically have no fixed order.
ROUNDING = {"fp32": 64 * torch.finfo(torch.float32).eps, "bf16": 2.0**-7, "fp16": 2.0**-10}
TIMES_EAGER = 4.0
VARYING = ("inputs", "targets", "augmented", "taught")  # the tensors of a piece, which differ from call to call
UNDECIDED = "no recorded step has been checked yet"


@dataclass(frozen=True)
class Accelerator:
    """A way to repeat a recorded computation in less time.

    Args:
        name: Name for messages.
        build: Converts a recording to a program, or raises Unsupported.
        exact: Whether the program's results must be bit-identical to those of the eager computation; if not, they must
            be as close as those of a second eager run.
        keeps_calls: Whether ``build`` needs the recorded kernels; if not, they are only checked.
    """

    name: str
    build: Build
    exact: bool
    keeps_calls: bool


def accelerator(run: Run) -> tuple[Accelerator | None, str]:
    """Return the accelerator for a run's steps, or None and the reason why there is none."""
    mode = run.config.loop.record
    if is_sharded(run):
        return None, "distributed.shard=true"
    if run.config.loop.compile:
        return None, "loop.compile=true"
    if mode == "never":
        return None, "loop.record=never"
    if run.device.type not in MOST_BYTES:
        return None, f"steps are not recorded on device={run.device.type}"
    if mode == "auto" and run.config.has_own_components:
        return None, "components of your own are recorded only with loop.record=always"
    if run.config.loop.checkpoint_activations and draws(run.model):
        return None, "a recorded step cannot draw the random numbers of a layer twice (loop.checkpoint_activations)"
    if run.device.type == "cuda":
        graphs = Graphs(keep=run.config.loop.micro_batches > 1)
        return Accelerator("CUDA graph", graphs.build, exact=False, keeps_calls=False), ""
    return Accelerator("recorded", replay.build, exact=True, keeps_calls=True), ""


class Engine:
    """Takes a run's optimizer steps in the fastest way whose results match those of the eager step.

    The first part of a batch of each shape is computed eagerly and recorded. The second is computed both eagerly and by
    the recording, and the results are compared. From the third on, the recording is replayed; it is compared again every
    ``CHECK_EVERY`` parts. If a computation cannot be recorded, or the results differ, steps are computed eagerly.

    Args:
        run: The run to train.
        note: Receives a line for the user if a recording fails or its results differ.
    """

    def __init__(self, run: Run, note: Callable[[str], None]) -> None:
        self.run, self.note, self.compute = run, note, differentiate(run)
        self.compiled: Compiled | None = None
        if run.config.loop.compile:
            self.compute = self.compiled = Compiled(run, note)
        self.accelerator, self.reason = accelerator(run)
        self.phases = [constraint.phase for constraint in run.constraints if constraint.phase is not one_phase]
        self.count = 1 + len(trained_parameters(run.optimizer))  # a part's loss and gradients
        self.unchecked: dict[Any, Program] = {}
        self.trusted: dict[Any, Program] = {}
        self.agreed: dict[Any, int] = {}  # the last step in which a program's results matched
        self.left = CHECK_EVERY  # parts until the next comparison
        self.recorded, self.missing = False, ""
        if self.accelerator is None:
            self.take: Step = optimizer_step(run, self.compute, apply(run))
            return
        self.reason, self.missing = UNDECIDED, lacking(run.optimizer)
        self.take = optimizer_step(run, self.part, Update(run, apply(run)))
        if run.scaler.is_enabled():  # creates its tensors now: a recording would contain copies of them
            run.scaler.scale(torch.ones((), device=run.device))

    @property
    def decided(self) -> bool:
        """Whether it has been decided how steps are taken, which takes the first few steps."""
        return self.reason != UNDECIDED

    def __str__(self) -> str:
        """Return how steps are taken and, if that is not the fastest way, why."""
        if self.compiled:
            return f"eager: {self.compiled.reason}" if self.compiled.reason else "compiled"
        name = self.accelerator.name if self.accelerator and self.recorded else "eager"
        why = "; ".join(filter(None, [self.reason, f"this torch has no {self.missing}" if self.missing else ""]))
        return f"{name}: {why}" if why else name

    def part(self, piece: Piece) -> Part:
        """Compute a part of a batch."""
        if (piece.mixings or piece.unlabeled_mixings) and self.accelerator:  # first, because a program ignores mixings
            self._give_up("rows are mixed")
        if self.accelerator is None:
            return self.compute(piece)
        named = {name: tensor for name in VARYING if (tensor := getattr(piece, name)) is not None}
        arguments = list(named.values())
        kind = (
            piece.inputs.shape,
            len(piece.targets),
            piece.share,
            piece.taught_share,
            piece.augmented is piece.inputs,  # an augmentation may return some batches unchanged
            self.run.freezer.held,
            *(phase(self.run.state.position) for phase in self.phases),  # compression may change what is computed
        )
        if program := self.trusted.get(kind):
            self.left -= 1
            if self.left:
                return self._unpacked(program(*arguments))
            self._check_again()

        def compute(*given: Tensor) -> list[Any]:
            replaced: dict[str, Any] = dict(zip(named, given, strict=True))
            part = self.compute(piece._replace(**replaced))
            return [part.loss, *part.gradients, *(part.seen or ())]

        if kind in self.unchecked:
            return self._unpacked(self._check(self.accelerator, kind, compute, arguments))
        return self._unpacked(self._record(self.accelerator, kind, compute, arguments))

    def _unpacked(self, values: list[Any]) -> Part:
        seen = values[self.count :]
        return Part(values[0], values[1 : self.count], Seen(*seen) if seen else None)

    def _record(
        self, way: Accelerator, kind: Any, compute: Callable[..., list[Any]], arguments: list[Tensor]
    ) -> list[Any]:
        """Compute a part eagerly, record it, and build a program from the recording."""
        with Recorder(self.run.device.type, keep=way.keeps_calls) as recorder:
            results = compute(*arguments)
        if recorder.trouble:
            self._give_up(recorder.trouble)
            return results
        try:
            with unchanged(self.run):
                self.unchecked[kind] = way.build(Recording(compute, arguments, results, recorder.calls))
        except Unsupported as error:
            self._give_up(str(error))
        return results

    def _check(
        self, way: Accelerator, kind: Any, compute: Callable[..., list[Any]], arguments: list[Tensor]
    ) -> list[Any]:
        """Compute a part both ways from the same state, and trust the program if the results match.

        If the eager results are not finite, e.g. because fp16 overflowed, the next part of the same kind decides.
        """
        program, trouble, outcomes = self.unchecked[kind], "", []
        for again in [program] if way.exact else [program, compute]:
            try:
                with unchanged(self.run):
                    outcomes.append(self._outcome(again(*arguments)))
            except Exception as error:
                if again is compute and not lacks_memory(error):
                    raise
                trouble = "out of memory" if lacks_memory(error) else str(error).partition("\n")[0]
        results = compute(*arguments)  # if the program raised an error of the user's code, this raises it too
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
            self._disagree(kind, "gave different results than the eager step")
        return results

    def _check_again(self) -> None:
        """Compare every program again at the next part of its kind."""
        self.unchecked |= self.trusted
        self.trusted.clear()
        self.left = CHECK_EVERY

    def _outcome(self, results: list[Any]) -> "Outcome":
        after = [tensor.clone() for tensor in changing(self.run)]
        return Outcome([*results, *after], random_states(self.run.device))

    def _disagree(self, kind: Any, what: str) -> None:
        """Compute eagerly from now on, and report why to the user."""
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
    """The results and side effects of computing a part.

    Args:
        values: The results, and the tensors that are changed in place.
        random: States of the random generators afterwards.
    """

    values: Sequence[Tensor | None]
    random: Mapping[str, Tensor]


def agree(outcomes: Sequence[Outcome], eager: Outcome, rounding: float) -> bool:
    """Return whether a program's outcome matches that of the eager computation.

    Args:
        outcomes: The program's outcome and, if bits may differ, that of a second eager run.
        eager: The outcome of the eager computation.
        rounding: The difference that is always allowed, as a fraction of a tensor's norm; unused if bits must be equal.
    """
    program, *again = outcomes
    if any(not torch.equal(program.random[key], state) for key, state in eager.random.items()):
        return False
    if not again:
        return all(map(_same, program.values, eager.values))
    return all(_close(*values, rounding) for values in zip(program.values, eager.values, again[0].values, strict=True))


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    """Return whether two tensors have the same values and layout; NaN is not equal to itself."""
    if one is None or other is None:
        return one is other
    return one.stride() == other.stride() and torch.equal(one, other)


def _close(one: Tensor | None, eager: Tensor | None, again: Tensor | None, rounding: float) -> bool:
    """Return whether two tensors have the same layout, and values about as close as those of two eager runs."""
    if one is None or eager is None or again is None:
        return one is eager is again
    if one.stride() != eager.stride() or one.shape != eager.shape:
        return False
    allowed = torch.maximum(TIMES_EAGER * (again - eager).double().norm(), rounding * eager.double().norm())
    return bool((one - eager).double().norm() <= allowed)
