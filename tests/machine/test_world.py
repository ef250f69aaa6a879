"""The processes of a run: alone, nothing is asked; of several, each learns what all of them know."""

import os
import time
from types import SimpleNamespace

import pytest
import torch

from tests import processes
from trainctl.errors import ProcessError
from trainctl.machine import world as worlds
from trainctl.machine.connection import FAREWELL
from trainctl.machine.environment import Place
from trainctl.machine.link import Link
from trainctl.machine.signals import Stopped
from trainctl.machine.world import ALONE, World


def test_alone_a_value_is_that_of_all_and_of_the_first():
    assert (ALONE.share([1]), ALONE.of_first("x"), ALONE.together(lambda: 3)) == ([[1]], "x", 3)
    assert ALONE.first
    assert not World(rank=1, size=2).first


@pytest.mark.parametrize(
    ("by", "agent", "named"),
    [("torchrun", "True", "torchrun on a"), ("torchrun", "", "process 0 on a"), ("srun", "", "process 0 on a")],
)
def test_a_store_that_is_gone_is_that_of_torchrun_or_of_the_first_process(by, agent, named, monkeypatch):
    def gone(keys: list[str]) -> bool:
        raise RuntimeError("connection reset by peer")

    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    if agent:
        monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", agent)
    link = Link(Place(0, 2, 0, 2, "a", 1, by), SimpleNamespace(check=gone))
    with pytest.raises(ProcessError, match=f"{named} is gone"):
        link.published("failed")
    assert link.is_lost


@pytest.mark.parametrize(
    ("message", "kind", "said"),
    [("connection closed by peer", ProcessError, "is gone"), ("CUDA out of memory", RuntimeError, "out of memory")],
)
def test_what_torch_raises_in_its_connections_means_that_a_process_is_gone_unless_memory_is_lacking(
    message, kind, said
):
    inside: dict[str, object] = {"__name__": "torch.distributed.fsdp"}
    exec(f"def gather(): raise RuntimeError({message!r})", inside)
    store = SimpleNamespace(set=lambda key, value: None, check=lambda keys: False)
    link = Link(Place(1, 2, 1, 2, "a", 1, "srun"), store)
    with pytest.raises(kind, match=said):
        link.in_step(inside["gather"])


@pytest.mark.slow
def test_who_waits_in_a_step_for_a_first_process_that_ends_ends_with_its_exit_code_at_once():
    def joined(link: Link) -> Link:
        link.connect(torch.device("cpu"), 60)
        link.share(None)
        return link

    def leave() -> float:
        link = joined(worlds.current().link)
        began = time.monotonic()
        assert link.farewell(5)
        return time.monotonic() - began

    def follow(link: Link) -> tuple[int, bool]:
        with pytest.raises(ProcessError) as caught:
            joined(link).gather(torch.zeros(1))
        return caught.value.exit_code, caught.value.known

    seconds, found = processes.run(2, leave, follow)
    assert found == (5, True)
    assert seconds < FAREWELL / 2


@pytest.mark.slow
def test_values_and_tensors_of_any_shape_reach_every_process():
    def work(link: Link) -> tuple[object, ...]:
        link.connect(torch.device("cpu"), 30)
        rank, own = link.place.rank, [torch.arange(number) + 0.5 for number in range(link.place.rank, 5, 3)]
        shared = link.share({"rank": rank, "more": "é" * rank})
        dealt = [tensor.tolist() for tensor in link.dealt(own)]
        return shared, dealt, link.spread(b"first" if not rank else b""), link.gather(torch.tensor([rank])).tolist()

    found = processes.run(3, lambda: work(worlds.current().link), work)
    expected = (
        [{"rank": rank, "more": "é" * rank} for rank in range(3)],
        [[index + 0.5 for index in range(number)] for number in range(5)],
        b"first",
        [[0], [1], [2]],
    )
    assert found == [expected] * 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stopped", "failed", "killed"])
def test_what_ends_work_in_one_process_ends_it_in_all(kind):
    def work(link: Link) -> str:
        link.connect(torch.device("cpu"), 30)
        link.share(None)  # else the first process may learn while it connects that the other one has failed
        link.hosts = ["here", "there"]

        def own() -> None:
            if link.place.rank and kind == "stopped":
                raise Stopped
            if link.place.rank and kind == "failed":
                link.fail("no such row", 3)
                raise ValueError
            if link.place.rank:
                os.kill(os.getpid(), 9)

        try:
            worlds.current().together(own)
        except Stopped:
            return "stopped"
        except ValueError:
            return "own"
        except ProcessError as error:
            return f"{error.exit_code} {error.known} {str(error).partition(' on ')[0]} {str(error).rpartition(': ')[2]}"
        return ""

    began = time.monotonic()
    first, other = processes.run(2, lambda: work(worlds.current().link), work)
    assert (first, other) == {
        "stopped": ("stopped", "stopped"),
        "failed": ("3 True process 1 no such row", "own"),
        "killed": ("7 False process 1 process 1 on there has disappeared without a message", -9),
    }[kind]
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_process_that_does_not_answer_is_named_after_the_timeout():
    def work(link: Link) -> str:
        link.connect(torch.device("cpu"), 1.0)
        link.hosts = ["here", "there"]
        if link.place.rank:
            time.sleep(4)
            return "late"
        with pytest.raises(ProcessError) as caught:
            link.share(1)
        return str(caught.value)

    found = processes.run(2, lambda: work(worlds.current().link), work)
    assert found[0] == "process 1 on there has not answered for 1 s (distributed.timeout)"


@pytest.mark.slow
def test_waiting_for_a_process_that_loads_has_no_limit():
    def first() -> str:
        link = worlds.current().link
        link.timeout = 0.2
        time.sleep(1.0)
        link.publish("loaded", {"rows": 3})
        return "published"

    assert processes.run(2, first, lambda link: link.wait_for("loaded")) == ["published", {"rows": 3}]
