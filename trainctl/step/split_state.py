"""Divide an optimizer's state among processes: each updates its share of the parameters, and keeps the state of these only.

Whole parameters are divided, not pieces of them. An optimizer that treats each parameter by itself computes the same bits
then, even if it looks at a whole matrix, as muon does. After an update, every process gets the weights of all shares.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest

import safetensors.torch
import torch
from torch import Tensor

from trainctl.run.run import Run
from trainctl.step.fused import trained_parameters
from trainctl.store.checkpoint import WholeState, flatten_optimizer


def is_divided(run: Run) -> bool:
    """Return whether the processes of a run divide the optimizer's state."""
    return run.world.size > 1 and run.config.distributed.split_state


def owners(sizes: Sequence[int], count: int) -> list[int]:
    """Return which of ``count`` processes updates each parameter: the largest first, each to the process that has the least.

    Of several that have as little, the last one: the first process also writes checkpoints.

    >>> owners([4, 9, 5, 1], 2), owners([3], 2)
    ([0, 1, 0, 1], [1])
    """
    loads, found = [0] * count, [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        found[index] = min(range(count), key=lambda process: (loads[process], -process))
        loads[found[index]] += sizes[index]
    return found


def updating_a_share(run: Run, update: Callable[[], object]) -> Callable[[], object]:
    """Return the function that applies the optimizer to this process's share, and gets the weights of the others."""
    if not is_divided(run):
        return update
    link, rank = run.world.link, run.world.rank
    assert link is not None
    shares = _shares(run)
    others = [parameter for owner, share in enumerate(shares) for parameter in share if owner != rank]

    turns = [
        list(turn)  # a parameter of each process, of about the same size: little memory, and little of it is padding
        for kind in dict.fromkeys(parameter.dtype for share in shares for parameter in share)
        for turn in zip_longest(*([each for each in share if each.dtype == kind] for share in shares))
    ]

    def step() -> None:
        for parameter in others:
            parameter.grad = None
        update()
        with torch.no_grad():
            for turn in turns:
                spread(turn)

    def spread(turn: list[Tensor | None]) -> None:
        """Let every process have the weights of some parameters, one of each process."""
        given = [each for each in turn if each is not None]
        sent, own = given[0].new_zeros(max(each.numel() for each in given)), turn[rank]
        if own is not None:
            sent[: own.numel()].view(own.shape).copy_(own)
        for owner, row in enumerate(link.gather(sent)):
            if owner != rank and (target := turn[owner]) is not None:
                target.copy_(row[: target.numel()].view(target.shape))

    return step


def forget_the_others(run: Run) -> None:
    """Remove the state of parameters that other processes update."""
    if not is_divided(run):
        return
    for owner, share in enumerate(_shares(run)):
        for parameter in share if owner != run.world.rank else ():
            run.optimizer.state.pop(parameter, None)


def whole(run: Run) -> WholeState | None:
    """Return the optimizer's whole state in the first process, nothing in the others; None if it is not divided.

    Every process must call it at the same time.

    Raises:
        ProcessError: If a process is gone.
    """
    link = run.world.link
    if link is None or not is_divided(run):
        return None
    named, numbers = flatten_optimizer(run.optimizer)
    own = torch.zeros(0, dtype=torch.uint8)
    if not run.world.first:
        kept = {key: value.detach().cpu().contiguous() for key, value in named.items()}
        own = torch.frombuffer(bytearray(safetensors.torch.save(kept)), dtype=torch.uint8)
    facts = link.share([len(own), numbers])
    nothing = [0] * run.world.size
    received = [size for size, _ in facts] if run.world.first else nothing
    everything = link.exchange(own, [len(own), *nothing[1:]], received)
    if not run.world.first:
        return {}, {}, {}
    for part, (_, more) in list(zip(everything.split(received), facts, strict=True))[1:]:
        named |= safetensors.torch.load(part.numpy().tobytes())
        numbers |= more
    return named, numbers, run.state.best_weights


def attach(error: BaseException, whole: WholeState | None) -> None:
    """Let an error carry the optimizer's whole state to who saves the run."""
    error.optimizer_state = whole  # type: ignore[attr-defined]


def attached(error: BaseException | None) -> WholeState | None:
    """Return the optimizer's whole state that an error carries; None if it carries none."""
    found: WholeState | None = getattr(error, "optimizer_state", None)
    return found


def _shares(run: Run) -> list[list[Tensor]]:
    """Return the parameters that each process updates, the largest first."""
    parameters = trained_parameters(run.optimizer)
    found = owners([parameter.numel() for parameter in parameters], run.world.size)
    return [
        sorted(
            (each for each, owner in zip(parameters, found, strict=True) if owner == process),
            key=lambda each: -each.numel(),
        )
        for process in range(run.world.size)
    ]
