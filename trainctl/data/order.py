"""The order in which an epoch visits the training rows: a function of the seed and the epoch."""

from functools import lru_cache

import torch
from torch import Tensor

from trainctl.machine.device import derive

# Keeps the seeds of epochs apart from those of steps.
ORDER = 1


def epoch_order(rows: int, seed: int, epoch: int) -> Tensor:
    """Return the order in which an epoch visits the rows: a function of (seed, epoch) alone."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(derive(ORDER, seed, epoch)))


@lru_cache(maxsize=1)  # an epoch's batches share it
def order_on(device: torch.device, rows: int, seed: int, epoch: int) -> Tensor:
    """Return :func:`epoch_order` on a device; nobody may change it. A GPU fetches it without a wait of the host."""
    order = epoch_order(rows, seed, epoch)
    return order.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else order.to(device)
