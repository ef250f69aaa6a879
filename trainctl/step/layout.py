"""Where the loss and the gradients of a step lie in the buffers that processes exchange."""

from typing import NamedTuple

import torch
from torch import Tensor

ALIGNED = 64  # bytes, as torch aligns what it allocates: kernels may round otherwise elsewhere


class Flat(NamedTuple):
    """Tensors of one type, one after the other in one buffer.

    Args:
        indices: Which of the loss (0) and the parameters (from 1) they are.
        like: Tensors with their shapes and strides, without memory.
        starts: Where each of them begins [elements].
        size: Of the buffer [elements].
        kind: Their type.
        device: Their device.
    """

    indices: list[int]
    like: list[Tensor]
    starts: list[int]
    size: int
    kind: torch.dtype
    device: torch.device

    def new(self, rows: int) -> Tensor:
        """Return buffers ``(rows, size)``."""
        return torch.empty((rows, self.size), dtype=self.kind, device=self.device)

    def views(self, buffer: Tensor) -> dict[int, Tensor]:
        """Return the tensors in a buffer ``(size,)``, by their indices."""
        offset = buffer.storage_offset()
        return {
            index: buffer.as_strided(like.shape, like.stride(), offset + start)
            for index, like, start in zip(self.indices, self.like, self.starts, strict=True)
        }

    @torch.no_grad()
    def fill(self, buffer: Tensor, values: list[Tensor | None]) -> None:
        """Copy values into a buffer; a gradient that does not exist is 0."""
        targets: list[Tensor] = []
        sources: list[Tensor] = []
        for index, view in self.views(buffer).items():
            value = values[index]
            if value is None:
                view.zero_()
            else:
                targets.append(view)
                sources.append(value)
        if targets:
            torch._foreach_copy_(targets, sources)


def flats(parameters: list[Tensor], size: int, device: torch.device) -> list[Flat]:
    """Return where the loss and each gradient lie: one buffer for each type.

    Args:
        parameters: The trained parameters.
        size: Number of processes; a buffer is divided evenly among them.
        device: The device of the buffers.
    """
    like = [torch.empty((), device="meta"), *(torch.empty_like(each, device="meta") for each in parameters)]
    found = []
    for kind in dict.fromkeys(each.dtype for each in like):
        indices = [index for index, each in enumerate(like) if each.dtype == kind]
        unit, end, starts = max(1, ALIGNED // kind.itemsize), 0, list[int]()
        for index in indices:
            starts.append(end)
            end += -(-like[index].numel() // unit) * unit
        shared = unit * size
        end = -(-end // shared) * shared
        found.append(Flat(indices, [like[index] for index in indices], starts, end, kind, device))
    return found
