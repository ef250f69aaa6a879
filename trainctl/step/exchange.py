"""Add the gradients of all processes along the tree of parts, and gather what else belongs to a step.

Each process sends the sums of its subtrees, cut in as many chunks as there are processes, adds the subtrees of one chunk,
and gets the other chunks back. All additions are those that one process would make, so the bits are the same, whichever
way the back end moves the bytes. Two processes with one subtree each need a single addition, and a + b = b + a: there the
back end may add.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from trainctl.errors import ConfigError, NonFiniteError, ProcessError, UnavailableError, lacks_memory, out_of_memory
from trainctl.machine.link import LEAVING
from trainctl.run.model import batch_norms
from trainctl.run.run import Run
from trainctl.step import layout, split_state, tree
from trainctl.step.part import Part
from trainctl.step.tree import Node

HEADER = 6  # numbers: step, status, signal, whether to save, time, number of parts
FINE, NOT_FINITE, NO_MEMORY, FAILED = range(4)  # status


class Found(NamedTuple):
    """What a process has computed of a batch.

    Args:
        leaves: Parts of the batch.
        sums: Losses and gradients, added within subtrees.
        norms: Batch-norm statistics of each of its parts.
        metrics: Sums for the metrics of each of its parts.
    """

    leaves: int
    sums: dict[Node, Part]
    norms: list[Tensor]
    metrics: list[Tensor]


class Exchange:
    """Completes a step that several processes have computed parts of.

    Args:
        run: The run to train.
        parameters: Those whose gradients are added.
    """

    def __init__(self, run: Run, parameters: list[Tensor]) -> None:
        assert run.world.link is not None
        self.run, self.link = run, run.world.link
        self.parameters = parameters
        self.flats = layout.flats(parameters, run.world.size, run.device)
        self.per_process = -(-run.config.loop.micro_batches // run.world.size)
        self.watched: dict[str, Tensor] | None = _other_buffers(run)

    def __call__(self, compute: Callable[[], Found], statistics: int) -> tuple[Part, list[Tensor], list[Tensor]]:
        """Compute this process's parts, and return the sum of all parts, and their statistics and metrics in order.

        Args:
            compute: Computes the parts of this process.
            statistics: Number of batch-norm statistics of a part.

        Raises:
            NonFiniteError, MemoryError: If this happened in any process.
            ProcessError: If another process has failed, or is gone.
            UnavailableError: If memory runs out while the sums are added.
            Exception: What ``compute`` raised in this process.
        """
        found, trouble = None, None
        try:
            found = compute()
            self._require_no_other_buffers()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again in _read, once the others know
            trouble = error
        present, rows = self._agree(found, trouble, statistics)
        assert found is not None
        width = len(self.run.sums.sums)
        norms = [row[width:] for row in rows]
        metrics = [row[:width] for row in rows]
        try:
            gradients = self._total(found)
        except (RuntimeError, MemoryError) as error:  # the others do not repeat this step
            if lacks_memory(error):
                raise UnavailableError(out_of_memory(error)) from error
            raise
        loss, *others = gradients
        kept = [value if given else None for value, given in zip(others, present, strict=True)]
        return Part(loss, kept, None), norms, metrics

    def _agree(
        self, found: Found | None, trouble: BaseException | None, statistics: int
    ) -> tuple[list[bool], list[Tensor]]:
        """Exchange everything but gradients; return which gradients there are, and the rows of all parts, in order."""
        run, link = self.run, self.link
        header = self._header(found, trouble)
        width = len(run.sums.sums) + statistics
        own = torch.zeros(len(self.parameters) + self.per_process * width, dtype=torch.float64, device=run.device)
        if found:
            given = [
                any(part.gradients[i] is not None for part in found.sums.values()) for i in range(len(self.parameters))
            ]
            own[: len(given)] = torch.tensor(given, dtype=torch.float64)
            if found.metrics:
                rows = [torch.cat([a.double(), b.double()]) for a, b in zip(found.metrics, found.norms, strict=True)]
                own[len(given) : len(given) + len(rows) * width] = torch.cat(rows)
        if run.device.type == "cpu":
            everything = link.gather(torch.cat([header, own]))
            headers, all_rows = everything[:, :HEADER], everything[:, HEADER:]
        else:
            headers, all_rows = link.gather(header), link.gather(own)
        self._read(headers.tolist(), trouble)
        assert found is not None
        count = len(self.parameters)
        present = (all_rows[:, :count] != 0).any(0).tolist()
        parts = [
            all_rows[rank, count + place * width : count + (place + 1) * width]
            for rank, mine in enumerate(self._runs(found.leaves))
            for place in range(len(mine))
        ]
        return present, parts

    def _header(self, found: Found | None, trouble: BaseException | None) -> Tensor:
        link = self.link
        status = FINE
        if trouble is not None:
            status = NO_MEMORY if lacks_memory(trouble) else FAILED
            status = NOT_FINITE if isinstance(trouble, NonFiniteError) else status
        signal, saves = link.request.wishes() if link.request else (0, 0)
        leaves = found.leaves if found else 0
        return torch.tensor([self.run.state.step, status, signal, saves, link.clock(), leaves], dtype=torch.float64)

    def _read(self, headers: list[list[float]], trouble: BaseException | None) -> None:
        """Learn from the headers of all processes.

        Raises:
            NonFiniteError, MemoryError, ProcessError: If a process has failed, or is at another step.
            BaseException: The trouble of this process.
        """
        steps, status, signals, saves, seconds, _ = (list(column) for column in zip(*headers, strict=True))
        link = self.link
        if link.request:
            link.request.take_in(list(map(int, signals)), list(map(int, saves)))
        link.seconds = seconds[0]
        if FAILED in status:
            raise self._failure(trouble if status[link.place.rank] == FAILED else None)
        if trouble is not None:
            raise trouble
        if len(set(steps)) > 1:
            listed = ", ".join(f"{int(step) + 1} in process {rank}" for rank, step in enumerate(steps))
            raise ProcessError(f"the processes are not at the same step: {listed}")
        if NO_MEMORY in status:
            raise MemoryError(f"process {status.index(NO_MEMORY)} is out of memory")
        if NOT_FINITE in status:
            raise NonFiniteError(f"the loss of process {status.index(NOT_FINITE)} is not finite")

    def _failure(self, own: BaseException | None) -> BaseException:
        """Return the error of a step in which a process has failed; ``own`` is that of this one.

        All processes still live, so those that divide the optimizer's state give it to the first one, which saves it.
        """
        whole = None
        with suppress(ProcessError, RuntimeError, MemoryError):  # one was killed meanwhile, or there is no room for it
            whole = split_state.whole(self.run)
        error = own or self.link.failure(0.0 if self.link.place.rank else LEAVING)
        split_state.attach(error, whole)
        return error

    def _total(self, found: Found) -> list[Tensor]:
        """Return the loss and the gradients, added over all parts."""
        subtrees = self._subtrees(found.leaves)
        single = len(subtrees) == 2 and all(len(each) == 1 for each in subtrees)
        results: dict[int, Tensor] = {}
        for flat in self.flats:
            own = flat.new(max(1, len(found.sums)))
            for row, node in zip(own, subtrees[self.run.world.rank], strict=False):
                part = found.sums[node]
                flat.fill(row, [part.loss, *part.gradients])
            if not found.sums:
                own.zero_()
            if self.link.fast or single:
                for row in own[1:]:
                    own[0].add_(row)
                whole = self.link.add(own[0])
            else:
                whole = self._along_the_tree(own, subtrees, found.leaves)
            results |= flat.views(whole)
        return [results[index] for index in range(1 + len(self.parameters))]

    def _along_the_tree(self, own: Tensor, subtrees: list[list[Node]], leaves: int) -> Tensor:
        size, rank = self.run.world.size, self.run.world.rank
        chunk = own.shape[1] // size
        mine = len(subtrees[rank])
        sent = own[:mine].reshape(mine, size, chunk).transpose(0, 1).contiguous().view(-1)
        received = self.link.exchange(sent, [mine * chunk] * size, [len(each) * chunk for each in subtrees])
        sums = dict(zip((node for each in subtrees for node in each), received.split(chunk), strict=True))
        total = tree.total(sums, leaves, lambda one, other: one.add_(other))
        return self.link.gather(total).view(-1)

    def _subtrees(self, leaves: int) -> list[list[Node]]:
        return [tree.nodes(mine.start, mine.stop, leaves) for mine in self._runs(leaves)]

    def _runs(self, leaves: int) -> list[range]:
        return [tree.run_of(rank, self.run.world.size, leaves) for rank in range(self.run.world.size)]

    def _require_no_other_buffers(self) -> None:
        """Check, after the first parts, that they have changed no buffer but the statistics of batch norms.

        Raises:
            ConfigError: If they have: it would differ between the processes.
        """
        if self.watched is None:
            return
        now = _other_buffers(self.run)
        changed = [name for name, before in self.watched.items() if not torch.equal(before, now[name])]
        self.watched = None
        if changed:
            model = self.run.config.parts["model"]["name"]
            raise ConfigError(
                f"model={model}: computing a batch changes its buffer {changed[0]}, which would differ between processes:"
                " use processes=1"
            )


def _other_buffers(run: Run) -> dict[str, Tensor]:
    """Return copies of the buffers that are not statistics of batch norms."""
    statistics = {id(buffer) for norm in batch_norms(run.model) for buffer in norm.buffers(recurse=False)}
    return {name: each.clone() for name, each in run.model.named_buffers() if id(each) not in statistics}
