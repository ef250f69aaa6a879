"""The connections between the processes of a run: opened together, closed by who leaves, and lost with who is gone."""

import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from trainctl.errors import ProcessError, UnavailableError
from trainctl.machine.notices import POLL, POLL_MOST, Notices
from trainctl.machine.shared_memory import ELSEWHERE
from trainctl.wording import listed

JOINING = 600.0  # for the first process to be found [s]
EVIDENCE = 1.0  # after a process is gone, for another one to say why [s]
FAREWELL = 5.0  # for the others to learn that all is done [s]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class Connection(Notices):
    """The group of processes in which one computes.

    Args:
        place: The place of this process.
        store: Keys and values that all processes read.
        timeout: Limit of a collective operation [s].
        staged: Whether tensors of a GPU travel through host memory.
        hosts: The machine of each process.
    """

    timeout: float = JOINING
    staged: bool = False
    hosts: list[str] = field(default_factory=list)
    connected: bool = False

    @property
    def is_local(self) -> bool:
        """Whether all processes are on this machine."""
        return self.place.address in LOOPBACK

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
        if ELSEWHERE in str(error):
            return ProcessError(
                "the processes are not at the same operation: one of them has failed in a step", known=False
            )
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

    def farewell(self, exit_code: int) -> bool:
        """Let the other processes end, wait until they know, and return whether all do; the first process calls this."""
        self.publish("end", {"exit_code": exit_code})  # before those that are in a step see the connections closed
        self.close()
        end = time.monotonic() + FAREWELL
        while time.monotonic() < end:
            ended = self.presence.ended() if self.presence else []
            if all(rank in ended or self._has(f"left/{rank}") for rank in range(1, self.place.size)):
                return True
            if self._has("failed"):  # those that failed, and those that noticed, do not answer
                time.sleep(POLL_MOST)
                return False
            time.sleep(POLL)
        return False
