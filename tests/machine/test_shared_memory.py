"""Tensors that processes of a machine move through shared memory: as gloo moves them, and nobody waits for who is gone."""

import mmap
import os
import random
import socket
import time
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import processes, soak
from trainctl.errors import ProcessError
from trainctl.machine import shared_memory
from trainctl.machine import world as worlds
from trainctl.machine.connection import Connection
from trainctl.machine.link import Link

SMALL = 4 * 64  # bytes of an area, so that most tensors travel in rounds
pytestmark = pytest.mark.slow
KINDS = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def made(seed: int, rank: int, size: int, kind: torch.dtype) -> Tensor:
    """Return what a process sends: everybody can make it."""
    generator = torch.Generator().manual_seed(1000 * seed + rank)
    return torch.randint(-9, 9, (size,), generator=generator).to(kind)


def operations(link: Link, seed: int) -> tuple[Any, list[Any], list[Any]]:
    """Do operations, and return what moved tensors, their results, and what these must be."""
    chance, found, expected = random.Random(seed), list[Any](), list[Any]()
    ranks = range(link.place.size)
    for number in range(30):
        kind, size = chance.choice(KINDS), chance.choice([0, 1, 3, 31, 32, 33, 64, 65, 700])
        sent = [[chance.choice([0, 1, 20, 150]) for _ in ranks] for _ in ranks]
        match chance.choice(["gather", "add", "exchange"]):
            case "gather":
                found.append(link.gather(made(number, link.place.rank, size, kind)))
                expected.append(torch.stack([made(number, rank, size, kind) for rank in ranks]))
            case "add":
                kind = torch.float32 if kind in (torch.uint8, torch.bool) else kind
                found.append(link.add(made(number, link.place.rank, size, kind)))
                expected.append(sum((made(number, rank, size, kind) for rank in ranks), torch.zeros(size, dtype=kind)))
            case _:
                own, received = sent[link.place.rank], [row[link.place.rank] for row in sent]
                found.append(link.exchange(made(number, link.place.rank, sum(own), kind), own, received))
                pieces = [made(number, rank, sum(sent[rank]), kind).split(sent[rank]) for rank in ranks]
                expected.append(torch.cat([row[link.place.rank] for row in pieces]))
    return link.memory, found, expected


def joined() -> Link:
    link = worlds.current().link
    assert link is not None
    link.connect(torch.device("cpu"), 30)
    return link


@pytest.mark.soak
@pytest.mark.parametrize("size", [2, 3, 4])
def test_tensors_of_any_size_and_type_arrive_as_they_were_sent(size, monkeypatch):
    monkeypatch.setattr(shared_memory, "AREA", SMALL)

    def work(link: Link | None = None) -> list[bool]:
        link = joined()
        assert link.memory is not None
        same = []
        for seed in range(soak.cases(4)):
            _, found, expected = operations(link, seed)
            same += [a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(found, expected, strict=True)]
        return same

    results = processes.run(size, work, work)
    assert results == [[True] * 30 * soak.cases(4)] * size


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError("no such thing here")


def lack(*_: Any, **__: Any) -> Any:
    raise AttributeError("module 'os' has no attribute 'memfd_create'")


@pytest.mark.parametrize(
    ("rank", "owner", "name", "value"),
    [
        (1, socket.socket, "bind", refuse),
        (2, socket.socket, "connect", refuse),
        (0, os, "memfd_create", refuse),
        (0, os, "memfd_create", lack),
        (1, mmap, "mmap", refuse),
        (0, os, "geteuid", lambda: 12345),  # so that the others are strangers to the first process
    ],
    ids=["socket", "connection", "memory", "python", "map", "user"],
)
def test_where_one_process_cannot_share_memory_all_use_gloo(rank, owner, name, value):
    def work(link: Link | None = None) -> bool:
        link = worlds.current().link
        assert link is not None
        Connection.connect(link, torch.device("cpu"), 30)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shared_memory, "MEETING", 0.5)
            if link.place.rank == rank:
                patch.setattr(owner, name, value)
            link.memory = shared_memory.between(link.place, link.share)
        memory, found, expected = operations(link, 1)
        return memory is None and all(map(torch.equal, found, expected))

    assert processes.run(3, work, work) == [True] * 3


def test_processes_on_several_machines_do_not_try():
    def asked(value: Any) -> list[Any]:
        raise AssertionError("nothing to agree on")

    assert shared_memory.between(processes.Place(1, 4, 1, 2, "a", 1, "srun"), asked) is None


@pytest.mark.parametrize("kind", ["killed", "silent", "elsewhere"])
def test_who_waits_for_a_process_that_is_gone_silent_or_elsewhere_is_told(kind, tmp_path):
    def wait(link: Link | None = None) -> str:
        link = joined()
        assert link.memory is not None
        link.memory.limit(1.0)
        link.hosts = ["here", "there"]
        try:
            link.gather(torch.zeros(5))
        except ProcessError as error:
            (tmp_path / "told").touch()
            return str(error)
        return "nothing"

    def fail(link: Link) -> str:
        link.connect(torch.device("cpu"), 30)
        if kind == "killed":
            os.kill(os.getpid(), 9)
        if kind == "elsewhere":
            with pytest.raises(ProcessError):
                link.add(torch.zeros(5))  # as many bytes
            return ""
        while not (tmp_path / "told").exists():
            time.sleep(0.01)
        return ""

    first, other = processes.run(2, wait, fail)
    assert other == (-9 if kind == "killed" else "")
    said = {
        "killed": "process 1 on there has disappeared without a message",
        "silent": "process 1 on there has not answered",
        "elsewhere": "the processes are not at the same operation",
    }
    assert said[kind] in first
