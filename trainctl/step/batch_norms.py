"""Batch-norm statistics of a batch that is computed in parts: each part's own, folded in the order of the parts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainctl.run.model import batch_norms


class Statistics:
    """Keeps the running statistics of a model's batch norms independent of who computes the parts of a batch.

    While a batch is computed, the momentum is 1, so that each part leaves its own mean and variance in the buffers. At the
    end the running statistics take in those of the parts, one after the other, as a single process would.

    Args:
        model: The model to train.
    """

    def __init__(self, model: nn.Module) -> None:
        self.norms = [norm for norm in batch_norms(model) if norm.running_mean is not None]
        self.active: list[_BatchNorm] = []
        self.momenta: list[float | None] = []
        self.before, self.counts = torch.zeros(0), list[int]()
        self.tracked: list[Tensor | None] = []  # numbers of batches before this one

    @torch.no_grad()
    def begin(self) -> None:
        """Remember the running statistics; from now on, each part leaves its own."""
        self.active = [norm for norm in self.norms if norm.training]  # those of frozen layers are in evaluation mode
        if not self.active:
            return
        self.momenta = [norm.momentum for norm in self.active]
        self.before = self._flat()
        self.tracked = [None if (count := norm.num_batches_tracked) is None else count.clone() for norm in self.active]
        self.counts = [int(norm.num_batches_tracked or 0) for norm in self.active] if None in self.momenta else []
        for norm in self.active:
            norm.momentum = 1.0

    @property
    def active_size(self) -> int:
        """The number of statistics of a part of this batch."""
        return self.before.numel() if self.active else 0

    @torch.no_grad()
    def taken(self) -> Tensor:
        """Return the statistics of the part that was computed last ``(F,)``."""
        return self._flat() if self.active else self.before[:0]

    @torch.no_grad()
    def end(self, parts: Sequence[Tensor] | None) -> None:
        """Fold the statistics of all parts into the running ones; None puts those back that were before the batch."""
        if not self.active:
            return
        for norm, momentum in zip(self.active, self.momenta, strict=True):
            norm.momentum = momentum
        precision = torch.float32 if self.before.device.type == "mps" else torch.float64
        folded = self.before.to(precision)
        for number, part in enumerate(parts or ()):
            weight = self._weights(number).to(folded)
            folded = folded * (1 - weight) + part.to(precision) * weight
        for norm, count in zip(self.active, self.tracked, strict=True):
            if norm.num_batches_tracked is not None and count is not None:
                norm.num_batches_tracked.copy_(count + len(parts or ()))
        rest = folded.to(self.before.dtype)
        for norm in self.active:
            for buffer in _buffers(norm):
                own, rest = rest[: buffer.numel()], rest[buffer.numel() :]
                buffer.copy_(own.view_as(buffer))

    def _flat(self) -> Tensor:
        return torch.cat([buffer.reshape(-1) for norm in self.active for buffer in _buffers(norm)])

    def _weights(self, number: int) -> Tensor:
        """Return the weight of a part's statistics, for each of them; without a momentum they are a plain mean."""
        counts = self.counts or [0] * len(self.active)
        weights = [
            1 / (count + number + 1) if momentum is None else momentum
            for momentum, count in zip(self.momenta, counts, strict=True)
        ]
        if len(set(weights)) == 1:
            return torch.tensor(weights[0], dtype=torch.float64)
        sizes = [sum(buffer.numel() for buffer in _buffers(norm)) for norm in self.active]
        return torch.tensor(weights, dtype=torch.float64).repeat_interleave(torch.tensor(sizes))


def _buffers(norm: _BatchNorm) -> list[Tensor]:
    return [buffer for buffer in (norm.running_mean, norm.running_var) if buffer is not None]
