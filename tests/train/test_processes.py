"""The number of processes that train a run changes nothing but the time; what ends one of them ends all, after one step."""

import functools
import logging
import os
import platform
import signal
import socket
import time
import warnings
from typing import Any

import pytest
import torch

from tests import processes
from tests.together import TINY, begin, resume, same, train
from trainctl.errors import ConfigError, DataError, ProcessError
from trainctl.fileformat import fingerprints
from trainctl.finished import open as opening
from trainctl.finished.bitwise import tensors_of
from trainctl.finished.verify import verify
from trainctl.machine import device, presence
from trainctl.machine.link import Link
from trainctl.run import assemble
from trainctl.settings import compose
from trainctl.step import eager as eager_module
from trainctl.step import pieces
from trainctl.store import checkpoint, files, manifest, restore, rundir
from trainctl.train import budget, following, loop, spread, together
from trainctl.train.log_lines import Sender

pytestmark = pytest.mark.usefixtures("quiet")


def test_a_run_of_one_part_draws_other_numbers_than_one_of_two(tmp_path):
    for parts in (1, 2):
        train(
            tmp_path / str(parts),
            1,
            [*TINY[:-4], "loop.max_steps=3", f"loop.micro_batches={parts}", "model.dropout=0.5"],
        )
    assert not same(tmp_path / "1", tmp_path / "2")


@pytest.mark.parametrize(
    ("words", "equal"),
    [
        (["model.dropout=0.5"], False),
        (["model.dropout=0", "augment=[noise]"], False),
        (["model.dropout=0"], True),
    ],
)
def test_equal_rows_in_two_parts_of_a_step_get_other_dropout_and_noise(words, equal, tmp_path, monkeypatch):
    seen: list[torch.Tensor] = []

    def same_rows(tensors: Any, parts: int, mine: range) -> Any:
        return [(part, 0, tuple(each if each is None else each[:5] for each in tensors)) for part in mine]

    def noted(run: Any, outputs: torch.Tensor, *given: Any) -> Any:
        seen.append(outputs.detach().clone())
        return compare(run, outputs, *given)

    compare = eager_module.compare
    monkeypatch.setattr(pieces, "_split", same_rows)
    monkeypatch.setattr(eager_module, "compare", noted)
    begin(tmp_path / "run", [*TINY, "loop.micro_batches=2", "loop.max_steps=1", "loop.record=never", *words])()
    one, other = seen
    assert torch.equal(one, other) is equal


def test_two_processes_verify_what_one_has_trained(tmp_path):
    train(tmp_path / "run", 1, TINY)

    def check() -> tuple[str, int]:
        comparison = verify(opening.open(tmp_path / "run", [], [], []), "start", None)
        return comparison.difference, comparison.evaluations

    assert processes.run(2, check)[0] == ("", 3)


@pytest.mark.slow
def test_the_state_of_the_first_process_travels_a_few_tensors_at_a_time(tmp_path, monkeypatch):
    words = (*TINY, "average=ema", "checkpoint.every_seconds=0", "model.hidden=[40,40,40]")
    take, sizes, own = Link.spread, tmp_path / "sizes", os.getpid()

    def noted(self: Link, content: bytes) -> bytes:
        if os.getpid() != own and self.place.rank:
            content = take(self, content)
            with sizes.open("a") as file:
                file.write(f"{len(content)}\n")
            return content
        return take(self, content)

    monkeypatch.setattr(Link, "spread", noted)
    monkeypatch.setattr(spread, "AT_ONCE", 8000)  # a matrix has 6,400 bytes
    train(tmp_path / "1", 1, words)
    train(tmp_path / "2", 1, [*words, "loop.stop_at_step=7"])
    resume(tmp_path / "2", 2, "loop.stop_at_step=null")
    assert same(tmp_path / "1", tmp_path / "2")
    found = list(map(int, sizes.read_text().split()))
    assert len(found) > 10
    assert max(found[1:]) < 10_000 < sum(found)  # the first one has the numbers, and the names of all tensors


def failing() -> None:
    raise DataError("no such row")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "rank", "codes"),
    [
        (failing, 1, [3, 3]),
        (failing, 0, [3, 75]),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), 1, [7, -9]),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), 1, [143, 1]),
        (lambda: os.kill(os.getpid(), signal.SIGINT), 0, [130, 1]),
    ],
    ids=["raises", "first raises", "killed", "terminated", "interrupted"],
)
def test_what_ends_one_process_ends_all_and_the_last_step_is_saved(act, rank, codes, at, tmp_path, capfd):
    at(7, act, rank=rank)
    began = time.monotonic()
    assert train(tmp_path / "run", 2, TINY)[0] == codes[0]
    assert time.monotonic() - began < 40  # on a busy machine
    saved = restore.newest(tmp_path / "run").manifest.step
    assert saved in (7, 8) if rank else saved >= 5
    assert rundir.read_json(tmp_path / "run" / "summary.json")["outcome"] in ("failed", "terminated", "interrupted")
    assert capfd.readouterr().err.count("no such row") == (act is failing and not rank) + (act is failing and rank)


@pytest.mark.slow
def test_a_run_whose_peer_was_killed_resumes_to_the_same_bits(at, tmp_path, monkeypatch):
    train(tmp_path / "whole", 1, TINY)
    with monkeypatch.context() as patched:
        patched.setattr(eager_module, "batch_of", eager_module.batch_of)
        at(7, lambda: os.kill(os.getpid(), signal.SIGKILL), rank=1)
        train(tmp_path / "run", 2, TINY)
    resume(tmp_path / "run", 2)
    assert same(tmp_path / "whole", tmp_path / "run")


def test_sigusr1_to_any_process_saves_and_training_continues(at, tmp_path, monkeypatch):
    at(7, lambda: os.kill(os.getpid(), signal.SIGUSR1), rank=1)
    saves = [*TINY, "checkpoint.every_seconds=1000", "checkpoint.keep=9"]
    train(tmp_path / "run", 2, saves)
    assert [saved.manifest.step for saved in restore.kept(tmp_path / "run")[0]] == [0, 8, 12]


def test_the_clock_of_the_first_process_decides(tmp_path, monkeypatch):
    def late(self: budget.Clock) -> float:
        world = together.worlds.current()
        return 1e6 if world.rank else self.before + 0.25 * (time.perf_counter() - self.start)

    monkeypatch.setattr(budget.Clock, "measured", late)
    found = train(tmp_path / "run", 2, [*TINY, "loop.max_time=1h"])
    assert found[0]["reason"] == "reached loop.max_steps=12"


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "by"), [(1, "srun"), (2, "trainctl"), (0, "srun")])
def test_a_process_that_dies_silently_while_loading_is_named_by_the_others(victim, by, tmp_path, capfd, monkeypatch):
    own, build = os.getpid(), assemble.assemble

    def dying(*given: Any, **named: Any) -> Any:
        world = together.worlds.current()
        if world.rank == victim and os.getpid() != own:
            while not victim and None in [world.link.published(f"here/{rank}") for rank in (1, 2)]:
                time.sleep(0.01)  # who comes after the first one is gone waits for it, as it would for one that is late
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1.0)
        return build(*given, **named)

    monkeypatch.setattr(assemble, "assemble", dying)
    began = time.monotonic()
    codes = processes.start(3, begin(tmp_path / "run", TINY), by=by).results()
    assert time.monotonic() - began < 40  # on a busy machine
    assert codes[victim] == -9
    assert codes[0] == 7 if victim else codes[1:] == [7, 7]
    printed = capfd.readouterr().err
    if victim:
        assert printed.count(f"process {victim} on {platform.node()} has ended without a message, before training") == 1
    else:
        assert printed.count("process 0 on 127.0.0.1 is gone") == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_ends_while_the_others_connect_is_not_waited_for(sign, tmp_path, capfd, monkeypatch):
    connect = Link.connect

    def ending(link: Link, *given: Any) -> None:
        if link.place.rank == 1:
            time.sleep(0.5)
            os.kill(os.getpid(), sign)
        connect(link, *given)

    monkeypatch.setattr(Link, "connect", ending)
    began = time.monotonic()
    codes = processes.start(3, begin(tmp_path / "run", TINY)).results()
    assert time.monotonic() - began < 40  # and not distributed.timeout=10m
    assert codes[:2] == ([7, -9] if sign == signal.SIGKILL else [143, 143])
    assert codes[2] != 0
    assert "process 1 on " in capfd.readouterr().err


@pytest.mark.slow
def test_a_process_that_never_starts_is_named(monkeypatch):
    monkeypatch.setattr(presence, "LEAST", 0.5)

    def first() -> str:
        link = together.worlds.current().link
        link.timeout = 0.1
        with socket.create_connection(("127.0.0.1", link.published("presence")[0])) as stranger:
            stranger.sendall(b"GET / HTTP/1.0")
            with pytest.raises(ProcessError) as caught:
                link.wait_for("ready/1/2")
        return str(caught.value)

    def other(link: Link) -> None:
        kept = presence.attend(link) if link.place.rank == 1 else None
        time.sleep(2)
        del kept

    assert processes.run(3, first, other)[0] == "process 2 has not started within 0.5 s"


@pytest.mark.slow
def test_what_other_processes_have_to_say_is_in_the_log_once_with_their_machine(at, tmp_path, capfd, monkeypatch):
    def speak() -> None:
        warnings.simplefilter("default")
        for _ in range(2):
            warnings.warn("the clock of this machine is off", UserWarning, stacklevel=1)
        logging.getLogger("a.library").propagate = False  # past the handlers of pytest
        logging.getLogger("a.library").warning("%s is slow", "its disk")

    at(7, speak, rank=1)
    at(8, speak, rank=1)
    train(tmp_path / "run", 2, [*TINY, "optimizer.lr=1e30", "loop.on_nonfinite=skip"])
    lines = (tmp_path / "run" / "log.txt").read_text().splitlines()
    before = f"process 1 on {platform.node()}: "
    said = [line.removeprefix(before) for line in lines if line.startswith("process 1")]
    assert said == ["UserWarning: the clock of this machine is off", "its disk is slow"]
    assert any("skipped step" in line for line in lines)
    printed = capfd.readouterr()
    assert "clock" not in printed.out + printed.err


def test_the_traceback_of_another_process_is_in_the_log(at, tmp_path, capfd):
    at(7, lambda: {}["absent"], rank=1)
    train(tmp_path / "run", 2, TINY)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert f"process 1 on {platform.node()}: KeyError: 'absent'" in log
    assert capfd.readouterr().err.count("Traceback") == 1


@pytest.mark.parametrize(
    ("fingerprint", "code", "message"),
    [
        ("f" * 64, 3, f"process 1 on {platform.node()} has other data: fingerprint ffffffffffff there, "),
        (
            "blocks:" + "f" * 64,
            2,
            "differ in whether rows fit in memory: set dataset.keep=disk, or dataset.keep=memory",
        ),
    ],
)
def test_other_data_in_another_process_are_named(fingerprint, code, message, tmp_path, monkeypatch, capfd):
    ready = together.ready

    def other(run: Any, number: int) -> None:
        if run.world.rank:
            object.__setattr__(run.data.schema, "fingerprint", fingerprint)
        ready(run, number)

    monkeypatch.setattr(together, "ready", other)
    assert train(tmp_path / "run", 2, TINY)[0] == code
    said = capfd.readouterr().err
    assert message in said
    if code == 3:
        train(tmp_path / "run", 1, [*TINY, "loop.max_steps=1"])
        own = fingerprints.shown(rundir.read_json(tmp_path / "run" / "run.json")["data"]["fingerprint"])
        assert f"there, {own} on {platform.node()}: the files of the data set differ" in said
    else:
        assert not (tmp_path / "run").exists()


def test_a_flipped_bit_is_noticed_at_the_next_evaluation(at, tmp_path, capfd, monkeypatch):
    look = loop.look

    def flipped(run: Any, *given: Any) -> Any:
        if run.world.rank and run.state.step == 5:
            next(run.model.parameters()).data.view(-1)[0] += 1e-6
        return look(run, *given)

    monkeypatch.setattr(loop, "look", flipped)
    assert train(tmp_path / "run", 2, TINY)[0] == 7
    host, processor = platform.node(), device.processor()
    said = f"process 1 on {host} has other weights than process 0 since step 5 or before: {processor} there, {processor} on {host}"
    assert said in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "message"),
    [(1, "has not answered for 1.5 s (distributed.timeout)"), (0, "for 1.5 s (distributed.timeout), and have left")],
)
def test_a_process_that_hangs_is_named_after_the_timeout(rank, message, at, tmp_path, capfd):
    at(7, lambda: time.sleep(8), rank=rank)
    assert train(tmp_path / "run", 2, [*TINY, "distributed.timeout=1.5s"])[0] == 7
    assert message in capfd.readouterr().err
    assert restore.newest(tmp_path / "run").manifest.step == 7


def test_more_processes_than_parts_cannot_resume_a_run(tmp_path, capfd):
    train(tmp_path / "run", 1, [*TINY, "loop.stop_at_step=2"])
    assert resume(tmp_path / "run", 4)[0] == 2
    assert "at most 3 processes can train it" in capfd.readouterr().err


def test_a_run_gets_a_part_for_each_process(tmp_path):
    words = [*TINY, "loop.micro_batches=1", "loop.max_steps=2"]
    train(tmp_path / "run", 2, words)
    assert rundir.read_config(tmp_path / "run")["loop"]["micro_batches"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["processes=4", "loop.batch_size=2"],
            "loop.batch_size=2 is less than processes=4: a process would have no row",
        ),
        (["processes=2", "threads=adapt"], "threads=adapt: with processes=2, every process needs the same number"),
        (["processes=2", "compress=[int8]"], "compress=int8 follows the ranges of the activations"),
        (["processes=2", "device=mps"], "device=mps: only one process can use it"),
        (["processes=0"], "processes=0: expected"),
        (
            ["processes=2", "distributed.split_state=true", "precision=fp16", "device=cuda"],
            "distributed.split_state=true: precision=fp16 skips a step if any gradient overflows",
        ),
        (["distributed.timeout=0.5s"], "distributed.timeout=0.5s must be at least 1s"),
        (["distributed.sum=any"], "distributed.sum=any: expected"),
    ],
)
def test_what_several_processes_cannot_do_is_refused_by_name(words, message):
    with pytest.raises(ConfigError) as caught:
        compose.compose(words)
    assert message in str(caught.value)


def test_a_buffer_that_follows_the_batches_is_refused_by_name(tmp_path, capfd, monkeypatch):
    build = assemble.build_model

    def counting(*given: Any) -> Any:
        model, task = build(*given)
        model.register_buffer("seen", torch.zeros(()))
        model.register_forward_hook(lambda module, inputs, output: module.seen.add_(len(inputs[0])) and None)
        return model, task

    monkeypatch.setattr(assemble, "build_model", counting)
    assert train(tmp_path / "run", 2, TINY)[0] == 2
    assert "computing a batch changes its buffer seen" in capfd.readouterr().err


@pytest.mark.parametrize("more", [(), ("distributed.shard=true",)], ids=["exact", "shares"])
def test_a_layer_that_is_not_used_has_no_gradient_and_keeps_its_weights(more, tmp_path, monkeypatch):
    build = assemble.build_model

    def with_unused_layer(*given: Any) -> Any:
        model, task = build(*given)
        torch.manual_seed(0)
        model.add_module("unused", torch.nn.Linear(3, 2))
        model.forward = functools.partial(_forward, model)  # without the layer
        return model, task

    monkeypatch.setattr(assemble, "build_model", with_unused_layer)
    train(tmp_path / "one", 1, TINY)
    train(tmp_path / "two", 2, [*TINY, *more])
    one, two = (tensors_of(restore.newest(tmp_path / name)) for name in ("one", "two"))
    assert torch.equal(one["model.unused.weight"], two["model.unused.weight"])
    assert one.keys() == two.keys()
    assert more or same(tmp_path / "one", tmp_path / "two")


def _forward(model: torch.nn.Sequential, inputs: torch.Tensor) -> torch.Tensor:
    for name, layer in model.named_children():
        inputs = inputs if name == "unused" else layer(inputs)
    return inputs


def test_fast_sums_are_close_and_need_no_order(tmp_path):
    train(tmp_path / "exact", 1, TINY)
    train(tmp_path / "fast", 3, [*TINY, "distributed.sum=fast"])
    one, other = (tensors_of(restore.newest(tmp_path / name)) for name in ("exact", "fast"))
    assert all(
        torch.allclose(one[key].double(), other[key].double(), atol=1e-4) for key in one if key.startswith("model.")
    )


def test_only_the_first_process_touches_the_run_directory_or_prints(tmp_path, capfd):
    words = [*TINY, "loop.max_steps=6", "model.norm=batch", "average=ema"]

    def other(link: Link) -> int:
        def refuse(*given: Any, **named: Any) -> None:
            raise AssertionError(f"a follower called for {given}")

        for module in (files, rundir, checkpoint, manifest):
            own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
            for name in own:
                if name not in ("flatten_optimizer", "group_numbers", "version") and not isinstance(
                    getattr(module, name), type
                ):
                    setattr(module, name, refuse)
        return following._serve(link, Sender(link))

    assert processes.run(2, begin(tmp_path / "run", words), other)[1] == 0
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
