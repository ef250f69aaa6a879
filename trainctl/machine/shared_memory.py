"""Move tensors between processes of one machine through memory that they share: a wait of gloo takes ten times as long.

The memory has no name, so that nothing is left behind, whatever ends a process. Each process writes into its own area, says
so to each of the others through a socket, and reads theirs once they have said so; the kernel orders what is written before
a message before what is read after it. A long tensor travels in rounds. There are two areas in turn: who has heard from all
others in a round knows that they have read what it wrote in the round before, so it never waits for them to have read.
"""

import contextlib
import mmap
import os
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trainctl.machine.environment import Place

AREA = 4 << 20  # bytes that a process writes in a round
MEETING = 10.0  # for the sockets of processes to be connected [s]
MESSAGE = struct.Struct("=4Q")  # number of the round, rounds that the sender needs, bytes of what it sends, operation
ELSEWHERE = "at another operation"
PEER = struct.Struct("=3i")  # process, user and group at the other end of a socket, see unix(7)


def between(place: Place, share: Callable[[Any], list[Any]]) -> "SharedMemory | None":
    """Connect the processes of a machine; every process must call it.

    Args:
        place: The place of this process.
        share: Returns what all processes give it, by rank.

    Returns:
        None in all of them, if they are not all on this machine, or if a process cannot: the system must be Linux.
    """
    if sys.platform != "linux" or place.local_size < place.size:
        return None
    with contextlib.ExitStack() as opened:
        listener, name = None, ""
        with contextlib.suppress(OSError):
            listener = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            listener.bind(f"\0trainctl-{secrets.token_hex(16)}")  # in no directory
            listener.listen(place.size)
            name = listener.getsockname()[1:].decode()
        names = share(name)
        if listener is None or "" in names:
            return None
        others: dict[int, socket.socket] = {}
        memory = None
        with contextlib.suppress(OSError, ValueError, struct.error, AttributeError):  # a Python without memfd_create
            _meet(place, names, listener, others)
            memory = _shared(place, others)
        listener.close()
        for other in others.values():
            opened.enter_context(other)
        if not all(share(memory is not None)) or memory is None:
            return None
        opened.pop_all()
        return SharedMemory(place.rank, others, memory)


def _meet(place: Place, names: Sequence[str], listener: socket.socket, others: dict[int, socket.socket]) -> None:
    """Fill in the sockets to the other processes, by rank.

    Raises:
        OSError: If one of them cannot be reached.
    """
    for rank in range(place.rank):
        others[rank] = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        others[rank].settimeout(MEETING)
        others[rank].connect(f"\0{names[rank]}")
        others[rank].send(str(place.rank).encode())
    end = time.monotonic() + MEETING
    while len(others) < place.size - 1:
        listener.settimeout(max(0.001, end - time.monotonic()))  # however many strangers come
        found, _ = listener.accept()
        found.settimeout(MEETING)
        _, user, _ = PEER.unpack(found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
        if user != os.geteuid():
            found.close()  # a stranger on this machine
            continue
        others[int(found.recv(20))] = found


def _shared(place: Place, others: dict[int, socket.socket]) -> Tensor:
    """Return memory ``(2, W, AREA)`` that the first process makes.

    Raises:
        OSError: If there is none.
    """
    shape = (2, place.size, AREA)
    size = 2 * place.size * AREA
    if place.rank == 0:
        file = os.memfd_create("trainctl")
        os.ftruncate(file, size)
        for other in others.values():
            socket.send_fds(other, [b"memory"], [file])
    else:
        _, (file,), *_ = socket.recv_fds(others[0], 6, 1, socket.MSG_CMSG_CLOEXEC)
    try:
        return torch.frombuffer(mmap.mmap(file, size), dtype=torch.uint8).view(shape)
    finally:
        os.close(file)


class SharedMemory:
    """Has the operations of :mod:`torch.distributed` that a link needs, for tensors on the host.

    Args:
        rank: Of this process.
        others: Sockets to the other ones, by rank.
        memory: Shared by all, ``(2, W, AREA)``, in bytes.
    """

    def __init__(self, rank: int, others: dict[int, socket.socket], memory: Tensor) -> None:
        self.rank, self.others, self.memory = rank, others, memory
        self.size = memory.shape[1]
        self.round = 0

    def limit(self, seconds: float) -> None:
        """Set how long an operation waits for another process [s]."""
        for other in self.others.values():
            other.settimeout(seconds)

    def close(self) -> None:
        """Let the others notice at once that this process leaves."""
        for other in self.others.values():
            other.close()

    def all_gather_into_tensor(self, target: Tensor, source: Tensor) -> None:
        """Fill ``target (W·n,)`` with the tensors ``source (n,)`` of all processes, by rank."""
        rows = _bytes(target).view(self.size, _bytes(source).numel())

        def read(areas: Tensor, start: int) -> None:
            rows[:, start : start + AREA].copy_(areas[:, : rows.shape[1] - start])

        self._in_rounds([_bytes(source)], read, [rows.shape[1]] * self.size, AREA, _what(source, 1))

    def all_reduce(self, tensor: Tensor) -> None:
        """Add the tensors ``(...)`` of all processes, by rank, in place."""
        whole = tensor.view(-1)
        width = AREA // whole.itemsize

        def read(areas: Tensor, start: int) -> None:
            begin = start // whole.itemsize
            piece = whole[begin : begin + width]
            first, *others = areas.view(whole.dtype)[:, : len(piece)]
            torch.add(first, others[0], out=piece)
            for other in others[1:]:
                piece.add_(other)

        self._in_rounds([_bytes(whole)], read, [_bytes(whole).numel()] * self.size, AREA, _what(whole, 2))

    def all_to_all_single(self, target: Tensor, source: Tensor, received: list[int], sent: list[int]) -> None:
        """Send a piece of ``source`` to each process, and fill ``target`` with what they send; sizes are given by rank."""
        width = AREA // self.size // 64 * 64
        pieces = [_bytes(piece) for piece in source.split(sent)]
        places = [_bytes(piece) for piece in target.split(received)]
        own = slice(self.rank * width, (self.rank + 1) * width)

        def read(areas: Tensor, start: int) -> None:
            for place, area in zip(places, areas[:, own], strict=True):
                rest = place[start : start + width]
                rest.copy_(area[: len(rest)])

        self._in_rounds(pieces, read, [len(place) for place in places], width, _what(source, 3))

    def _in_rounds(
        self, pieces: list[Tensor], read: Callable[[Tensor, int], None], expected: list[int], width: int, what: int
    ) -> None:
        """Write pieces, for one process each or one for all, and read those of all processes.

        Args:
            pieces: Bytes.
            read: Reads from the areas ``(W, AREA)``, which hold the pieces from a start on.
            expected: Bytes of the pieces of each process for this one.
            width: Bytes of a piece that travel in a round.
            what: The number of the operation.

        Raises:
            RuntimeError: If a process is gone, has not answered within the limit, or is at another operation.
        """
        rounds, number = -(-max(map(len, pieces)) // width), 0
        while number < max(rounds, 1):
            areas = self.memory[self.round % 2]
            start = number * width
            for place, piece in zip(areas[self.rank].split(width), pieces, strict=False):
                rest = piece[start : start + width]
                place[: len(rest)].copy_(rest)
            rounds = self._tell([len(piece) for piece in pieces], rounds, expected, what)
            read(areas, start)
            number += 1

    def _tell(self, sizes: list[int], rounds: int, expected: list[int], what: int) -> int:
        """Tell the others that a round is written, wait until theirs are, and return how many rounds the longest needs.

        Raises:
            RuntimeError: See :meth:`_in_rounds`.
        """
        self.round += 1
        try:
            for rank, other in self.others.items():
                other.send(MESSAGE.pack(self.round, rounds, sizes[rank if len(sizes) > 1 else 0], what))
            for rank, other in self.others.items():
                if not (heard := other.recv(MESSAGE.size)):
                    raise RuntimeError(f"process {rank} has closed its connection")
                at, needed, size, theirs = MESSAGE.unpack(heard)
                if (at, size, theirs) != (self.round, expected[rank], what):
                    raise RuntimeError(f"process {rank} is {ELSEWHERE}")
                rounds = max(rounds, needed)
        except TimeoutError as error:
            raise RuntimeError("timed out") from error
        except OSError as error:
            raise RuntimeError(str(error)) from error
        return rounds


def _what(tensor: Tensor, operation: int) -> int:
    return operation << 8 | tensor.itemsize


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.view(-1).view(torch.uint8)
