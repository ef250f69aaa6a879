"""Computing a part of a batch without consequences: what it changes in addition to its results is put back."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from trainctl.machine.device import random_states, restore_random_states
from trainctl.run.run import Run


def changing(run: Run) -> list[Tensor]:
    """Return the tensors that computing a part changes in place: buffers and metrics."""
    return [*run.model.buffers(), run.sums.sums]


@contextmanager
def unchanged(run: Run) -> Iterator[None]:
    """Restore the buffers, metrics and random states, which computing a part changes in addition to its results."""
    tensors = changing(run)
    before, random = [tensor.clone() for tensor in tensors], random_states(run.device)
    try:
        yield
    finally:
        for tensor, saved in zip(tensors, before, strict=True):
            tensor.copy_(saved)
        restore_random_states(random, run.device)
