"""The connection to the other processes of a run: a store for what they wait for, and a group for what they compute.

While a process loads data or writes, the others poll the store (:mod:`trainctl.machine.notices`), without a time limit:
nothing that one process does alone is waited for in a collective operation, whose limit is ``distributed.timeout``.
Values travel as JSON and as bytes of tensors; nothing that is received is executed.
"""

import json
import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from trainctl.errors import lacks_memory
from trainctl.machine import shared_memory
from trainctl.machine.agreed import AgreedRequest
from trainctl.machine.connection import Connection
from trainctl.machine.shared_memory import SharedMemory
from trainctl.machine.signals import Stopped, StopRequest

Value = TypeVar("Value")
LEAVING = 10.0  # for a process that failed to say why [s]


@dataclass
class Link(Connection):
    """The connection of one process to the others.

    Args:
        fast: Whether gradients are added in any order.
        seconds: Time spent training, as the first process measures it [s].
        clock: Measures that time.
        request: What signals request.
        said: Lines that the first process has shown.
        memory: Moves tensors on the host, where all processes are on this machine.
    """

    fast: bool = False
    seconds: float = 0.0
    clock: Callable[[], float] = float
    request: "AgreedRequest | None" = None
    said: set[str] = field(default_factory=set)
    memory: SharedMemory | None = None
    job: int = 0

    def next_job(self) -> int:
        """Return the number of the next run that the processes train together."""
        self.job += 1
        return self.job

    def connect(self, device: torch.device, timeout: float) -> None:
        """Open the connections; see :meth:`trainctl.machine.connection.Connection.connect`."""
        before = self.connected
        super().connect(device, timeout)
        if not before:
            self.memory = None
            self.memory = shared_memory.between(self.place, self.share)
        if self.memory:
            self.memory.limit(timeout)

    def close(self) -> None:
        """Close the connections, which lets the others notice at once that this process is gone."""
        if self.memory:
            self.memory.close()
        super().close()

    def _by(self, tensor: Tensor) -> Any:
        """Return what moves a tensor: it has the operations of :mod:`torch.distributed`."""
        return self.memory if self.memory and tensor.device.type == "cpu" else dist

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all processes, which have the same shape ``(...)``, as one ``(W, ...)``."""
        sent = tensor.cpu() if self.staged else tensor
        received = sent.new_empty((self.place.size, *tensor.shape))
        self._call(self._by(sent).all_gather_into_tensor, received.view(-1), sent.contiguous().view(-1))
        return received.to(tensor.device)

    def exchange(self, parts: Tensor, sent: list[int], received: list[int]) -> Tensor:
        """Send a piece of a tensor to each process, and return what all have sent to this one, by rank.

        Args:
            parts: One-dimensional, the pieces one after the other.
            sent: Sizes of the pieces.
            received: Sizes of what the others send.
        """
        source = parts.cpu() if self.staged else parts
        target = source.new_empty(sum(received))
        self._call(self._by(source).all_to_all_single, target, source, received, sent)
        return target.to(parts.device)

    def add(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes, added in whatever order the back end likes; may change the tensor."""
        moved = tensor.cpu() if self.staged else tensor
        self._call(self._by(moved).all_reduce, moved)
        return moved.to(tensor.device)

    def spread(self, content: bytes) -> bytes:
        """Return the bytes of the first process."""
        size = int(self.gather(torch.tensor([len(content)]))[0])
        buffer = torch.empty(size, dtype=torch.uint8)
        if not self.place.rank:
            buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self._call(dist.broadcast, buffer, 0)
        return buffer.numpy().tobytes()

    def dealt(self, tensors: list[Tensor]) -> list[Tensor]:
        """Return the tensors of all processes, on the host, where tensor i was dealt to process i mod W; any shapes."""
        flat = [tensor.detach().cpu().contiguous() for tensor in tensors]
        shapes = self.share([[str(each.dtype).removeprefix("torch."), list(each.shape)] for each in flat])
        own = torch.cat([torch.zeros(0, dtype=torch.uint8), *(each.view(-1).view(torch.uint8) for each in flat)])
        kinds = [[(getattr(torch, kind), shape) for kind, shape in each] for each in shapes]
        sizes = [[kind.itemsize * math.prod(shape) for kind, shape in each] for each in kinds]
        padded = torch.zeros(max(map(sum, sizes)), dtype=torch.uint8)
        padded[: len(own)] = own
        pieces = [
            [
                piece.clone().view(kind).view(shape)
                for piece, (kind, shape) in zip(row.split([*some, len(row) - sum(some)]), each, strict=False)
            ]
            for row, some, each in zip(self.gather(padded), sizes, kinds, strict=True)
        ]
        total = sum(map(len, pieces))
        return [pieces[number % self.place.size][number // self.place.size] for number in range(total)]

    def share(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank."""
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = self.gather(torch.tensor([len(text)])).flatten().tolist()
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(text)] = text
        rows = self.gather(padded)
        return [json.loads(row[:size].numpy().tobytes()) for row, size in zip(rows, sizes, strict=True)]

    def together(self, work: Callable[[], Value]) -> Value:
        """Do work in which the processes do not wait for each other; see :meth:`trainctl.machine.world.World.together`."""
        trouble: Exception | SystemExit | None = None
        value: Any = None
        try:
            value = work()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again below, once the others know
            trouble = error
        status = "stopped" if isinstance(trouble, Stopped) else "failed" if trouble else ""
        everywhere = self.share(status)
        if trouble is not None and status == "failed":
            raise trouble
        if "failed" in everywhere:
            raise self.failure(0.0 if self.place.rank else LEAVING)
        if "stopped" in everywhere:
            raise Stopped
        result: Value = value
        return result

    def in_step(self, work: Callable[[], Value]) -> Value:
        """Do work in which torch lets the processes wait for each other; see :meth:`trainctl.machine.world.World.in_step`."""
        try:
            return work()
        except RuntimeError as error:
            frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
            if lacks_memory(error) or not frames[-1].startswith("torch.distributed."):
                raise
            raise self._gone(error) from error

    def listen(self, own: StopRequest) -> "AgreedRequest":
        """Return what signals ask for, agreed with all processes; ``own`` receives those of this process."""
        self.request = AgreedRequest(self, own)
        return self.request
