"""The connection to the other processes of a run: a store for what they wait for, and a group for what they compute.

While a process loads data or writes, the others poll the store (:mod:`trainctl.machine.notices`), without a time limit:
nothing that one process does alone is waited for in a collective operation, whose limit is ``distributed.timeout``.
Values travel as JSON and as bytes of tensors; nothing that is received is executed.
"""

import json
import math
import os
import platform
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from trainctl.errors import ProcessError, UnavailableError, lacks_memory
from trainctl.machine.agreed import AgreedRequest
from trainctl.machine.notices import POLL, POLL_MOST, Notices
from trainctl.machine.signals import Stopped, StopRequest
from trainctl.wording import listed

Value = TypeVar("Value")
JOINING = 600.0  # for the first process to be found [s]
EVIDENCE = 1.0  # after a process is gone, for another one to say why [s]
FAREWELL = 5.0  # for the others to learn that all is done [s]
LEAVING = 10.0  # for a process that failed to say why [s]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class Link(Notices):
    """The connection of one process to the others.

    Args:
        place: The place of this process.
        store: Keys and values that all processes read.
        timeout: Limit of a collective operation [s].
        staged: Whether tensors of a GPU travel through host memory.
        fast: Whether gradients are added in any order.
        seconds: Time spent training, as the first process measures it [s].
        clock: Measures that time.
        request: What signals request.
        hosts: The machine of each process.
        said: Lines that the first process has shown.
    """

    timeout: float = JOINING
    staged: bool = False
    fast: bool = False
    seconds: float = 0.0
    clock: Callable[[], float] = float
    request: "AgreedRequest | None" = None
    hosts: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    connected: bool = False
    job: int = 0

    @property
    def is_local(self) -> bool:
        """Whether all processes are on this machine."""
        return self.place.address in LOOPBACK

    def next_job(self) -> int:
        """Return the number of the next run that the processes train together."""
        self.job += 1
        return self.job

    def farewell(self, exit_code: int) -> bool:
        """Let the other processes end, wait until they know, and return whether all do; the first process calls this."""
        self.publish("end", {"exit_code": exit_code})  # before those that are in a step see the connections closed
        self.close()
        end = time.monotonic() + FAREWELL
        while time.monotonic() < end:
            if all(self._has(f"left/{rank}") for rank in range(1, self.place.size)):
                return True
            if self._has("failed"):  # those that failed, and those that noticed, do not answer
                time.sleep(POLL_MOST)
                return False
            time.sleep(POLL)
        return False

    def connect(self, device: torch.device, timeout: float) -> None:
        """Open the connections for collective operations; every process must call it at about the same time.

        Raises:
            UnavailableError: If a process cannot be reached.
        """
        self.timeout = timeout
        if self.connected:
            return
        options: dict[str, Any] = {}
        own_gpu = device.type == "cuda" and self.place.local_size <= torch.cuda.device_count()
        if own_gpu:
            options["device_id"] = device  # else a barrier would use the first GPU in every process
        self.staged = device.type == "cuda" and not own_gpu
        if self.is_local:  # a name may lead to nothing in a container, or to another network
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if platform.system() == "Darwin" else "lo")
        try:
            self._open(
                "cpu:gloo,cuda:nccl" if own_gpu else "gloo",
                store=self.store.clone(),  # a client answers one question at a time
                rank=self.place.rank,
                world_size=self.place.size,
                timeout=timedelta(seconds=timeout),
                **options,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UnavailableError(
                f"process {self.place.rank} on {platform.node()} cannot reach the others ({reason[:200]}); if the machine"
                " has several networks, name the right one in GLOO_SOCKET_IFNAME"
            ) from error
        self.connected = True

    def _open(self, backend: str, **options: Any) -> None:
        """Open the process group in a thread, while this one looks whether the others live and receives signals.

        Raises:
            ProcessError: If another process has failed or is gone: the call itself would wait for it until its timeout.
        """
        failed: list[Exception] = []

        def work() -> None:
            try:
                if (device := options.get("device_id")) is not None:
                    torch.cuda.set_device(device)
                dist.init_process_group(backend, **options)
            except Exception as error:  # noqa: BLE001 - raised below
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True, name="connections of the processes")
        thread.start()
        while thread.is_alive():
            thread.join(POLL)
            if self.published("failed") is not None:
                raise self.failure()
            if self.presence:
                self.presence.check()
            elif self.published("end") is not None:
                raise ProcessError("another process is gone", known=False)
        if failed:
            raise failed[0]

    def close(self) -> None:
        """Close the connections, which lets the others notice at once that this process is gone."""
        if self.connected:
            self.connected = False
            with suppress(RuntimeError, ValueError):
                dist.destroy_process_group()

    def _call(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Run a collective operation.

        Raises:
            ProcessError: If a process is gone, or has not answered for ``distributed.timeout``.
        """
        if not self.connected:
            raise ProcessError("the connection to the other processes is closed", known=False)
        try:
            operation(*args, **kwargs)
        except RuntimeError as error:
            raise self._gone(error) from error

    def _gone(self, error: RuntimeError) -> ProcessError:
        self.publish(f"lost/{self.place.rank}", True)
        late = "timed out" in str(error).lower() or "timeout" in str(error).lower()
        self.close()
        if self.place.rank:
            if end := self.noticed("end"):
                self.publish(f"left/{self.place.rank}", True)
                return ProcessError("process 0 has ended", end["exit_code"] or ProcessError.exit_code)
            lost = self.server if self.is_lost else "another process"
            return ProcessError(f"{lost} is gone", known=False)
        found = self.failure(EVIDENCE)
        if found.known:
            return found
        quiet = [
            f"process {rank} on {self.hosts[rank]}"
            for rank in range(1, self.place.size)
            if not self._has(f"lost/{rank}")
        ]
        if not quiet:  # this one was suspended, or its network was gone
            return ProcessError(
                f"the others have not heard from process 0 on {platform.node()} for {self.timeout:g} s"
                " (distributed.timeout), and have left",
                known=False,
            )
        what = f"not answered for {self.timeout:g} s (distributed.timeout)" if late else "disappeared without a message"
        verb = "have" if len(quiet) > 1 else "has"
        return ProcessError(f"{listed(quiet)} {verb} {what}", known=False)

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all processes, which have the same shape ``(...)``, as one ``(W, ...)``."""
        sent = tensor.cpu() if self.staged else tensor
        received = sent.new_empty((self.place.size, *tensor.shape))
        self._call(dist.all_gather_into_tensor, received.view(-1), sent.contiguous().view(-1))
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
        self._call(dist.all_to_all_single, target, source, received, sent)
        return target.to(parts.device)

    def add(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes, added in whatever order the back end likes; may change the tensor."""
        moved = tensor.cpu() if self.staged else tensor
        self._call(dist.all_reduce, moved)
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
