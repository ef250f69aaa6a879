"""The parts of a batch are computed, whoever does that, and added: the same random numbers, statistics, metrics and gradients."""

from collections.abc import Callable, Sequence

from torch import Tensor

from trainctl.machine.device import derive, seed_generators
from trainctl.run.run import Run
from trainctl.step.batch_norms import Statistics
from trainctl.step.exchange import Exchange, Found
from trainctl.step.fused import trained_parameters
from trainctl.step.part import Compute, Mark, Part
from trainctl.step.pieces import PARTS, pieces_of
from trainctl.step.sharded import ShardedExchange, is_sharded
from trainctl.step.tree import Adder, run_of

Batch = Callable[[Tensor, Tensor, Tensor | None], Part]
BETWEEN = -1  # in place of a part's number: the seed of whatever draws random numbers after the last part of a step


def batch_of(run: Run, compute: Compute, mark: Mark) -> Batch:
    """Return the function that computes a batch: ``(inputs, targets, what a teacher says or None) -> loss and gradients``."""
    return in_parts(run, compute, mark) if run.config.loop.micro_batches > 1 else at_once(run, compute, mark)


def at_once(run: Run, compute: Compute, mark: Mark) -> Batch:
    """Return the function that computes a batch as a whole."""
    pieces = pieces_of(run, mark)

    def batch(inputs: Tensor, targets: Tensor, taught: Tensor | None) -> Part:
        (piece,) = pieces(inputs, targets, taught)
        part = compute(piece)
        if part.seen is not None:
            count(run, part, mark)
        return part

    return batch


def in_parts(run: Run, compute: Compute, mark: Mark) -> Batch:
    """Return the function that computes a batch in ``loop.micro_batches`` parts, its share of them if there are other processes.

    The result depends on the number of parts, and not on that of the processes: the random numbers of a part are a
    function of (seed, step, part), gradients are added along a fixed tree, see :mod:`trainctl.step.tree`, and metrics and
    batch-norm statistics are folded in the order of the parts.
    """
    pieces, statistics, world, sums = pieces_of(run, mark), Statistics(run.model), run.world, run.sums
    exchange = _exchange(run, compute) if world.size > 1 else None

    def computed(inputs: Tensor, targets: Tensor, taught: Tensor | None) -> Found:
        """Compute the parts of this process."""
        leaves = min(run.config.loop.micro_batches, len(targets))
        mine = run_of(world.rank, world.size, leaves)
        adder = Adder(mine.start, mine.stop, leaves, Part.plus)
        norms: list[Tensor] = []
        metrics: list[Tensor] = []
        for piece in pieces(inputs, targets, taught):
            part = compute(piece)
            if part.seen is not None:
                count(run, part, mark)
            if exchange:
                metrics.append(sums.take())
            norms.append(statistics.taken())
            adder.put(part)
        return Found(leaves, adder.sums, norms, metrics)

    def alone(inputs: Tensor, targets: Tensor, taught: Tensor | None) -> Part:
        norms: Sequence[Tensor] | None = None
        statistics.begin()
        try:
            found = computed(inputs, targets, taught)
            (total,) = found.sums.values()
            norms = found.norms
        finally:
            statistics.end(norms)
            reseed(run, run.state.step + (norms is not None))
        return total

    def together(inputs: Tensor, targets: Tensor, taught: Tensor | None) -> Part:
        assert exchange is not None
        before, norms = sums.take(), None
        statistics.begin()
        try:
            total, norms, metrics = exchange(lambda: computed(inputs, targets, taught), statistics.active_size)
        finally:
            statistics.end(norms)
            reseed(run, run.state.step + (norms is not None))
            sums.put(before)
        mark("metrics")
        sums.fold(metrics)
        mark("bookkeeping")
        return total

    return together if exchange else alone


def _exchange(run: Run, compute: Compute) -> Exchange:
    """Return what completes a step that several processes have computed parts of."""
    return ShardedExchange(run, compute) if is_sharded(run) else Exchange(run, trained_parameters(run.optimizer))


def reseed(run: Run, step: int) -> None:
    """Seed the random generators as they are after ``step`` steps, whichever parts this process has computed.

    Before the first step, they are as the weights' initialisation has left them.
    """
    if step:
        seed_generators(derive(PARTS, run.config.seed, step, BETWEEN), run.device, own=bool(run.config.components))


def count(run: Run, part: Part, mark: Mark) -> None:
    """Add a part to the metrics."""
    assert part.seen is not None
    mark("metrics")
    run.sums.add(*part.seen)
    mark("bookkeeping")
