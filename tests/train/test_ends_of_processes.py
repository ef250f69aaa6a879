"""Tables of how several processes end: every exit code, and every signal at every moment, in any of the processes."""

import os
import signal
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests import processes, soak
from tests.together import TINY, begin, resume, same, train
from tests.train.test_same_bits import RUNS, write_data
from trainctl import errors
from trainctl.machine import launch, threads
from trainctl.machine.environment import Place
from trainctl.machine.launch import Child, Launch
from trainctl.machine.link import Link
from trainctl.machine.world import World
from trainctl.run import assemble
from trainctl.settings import compose
from trainctl.step import eager
from trainctl.step.exchange import Exchange, Found
from trainctl.store import restore, rundir
from trainctl.train import checkpoint_writer, loop, together

pytestmark = pytest.mark.usefixtures("quiet")
ERRORS: dict[int, BaseException] = {
    1: KeyError("absent"), 2: errors.ConfigError("a wrong setting"), 3: errors.DataError("no such row"),
    4: errors.CheckpointError("damaged"), 5: errors.StorageError("full"),
    7: errors.UnavailableError("no such device"),
}  # fmt: skip
SIGNALS = {"SIGTERM": 143, "SIGINT": 130, "SIGHUP": 143, "SIGUSR1": 0}
MOMENTS = ("step", "evaluation", "save", "loading")


def chosen(table: list[Any], few: int) -> list[Any]:
    """Return a table in `make soak`, and a few of its rows, the same each time, in `make check`."""
    return table if soak.FACTOR > 1 else soak.seed("ends").sample(table, few)


def test_a_lack_of_memory_while_sums_are_added_names_its_process(tmp_path, monkeypatch):
    """The other process has finished this step, and does not repeat it."""
    total = Exchange._total

    def lacking(self: Exchange, found: Found) -> list[torch.Tensor]:
        if self.run.world.rank and self.run.state.step == 3:
            raise MemoryError
        return total(self, found)

    monkeypatch.setattr(Exchange, "_total", lacking)
    assert train(tmp_path / "run", 2, TINY)[0] == 7
    reason = rundir.read_json(tmp_path / "run" / "summary.json")["reason"]
    assert reason.startswith("process 1 on")
    assert "out of memory" in reason


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(("code", "rank"), chosen(list(product(ERRORS, (0, 1))), 4))
def test_the_exit_code_is_that_of_the_process_that_failed(code, rank, at, tmp_path):
    def fail() -> None:
        raise ERRORS[code]

    at(7, fail, rank=rank)
    found = train(tmp_path / "run", 2, TINY)
    assert found[0] == code
    assert found[1] != 0
    summary = rundir.read_json(tmp_path / "run" / "summary.json")
    assert summary["outcome"] == "failed"
    full = (code, rank) == (5, 0)  # the first process cannot save
    assert restore.newest(tmp_path / "run").manifest.step in ((0,) if full else (5, 7))


def test_numbers_that_are_not_finite_end_all_with_the_code_of_one_process(tmp_path, capfd):
    assert train(tmp_path / "run", 2, [*TINY, "optimizer.lr=1e30"])[0] == 6
    assert capfd.readouterr().err.count("try a smaller optimizer.lr") == 1


def disturb(
    patch: pytest.MonkeyPatch, at: Callable[..., None], moment: str, rank: int, act: Callable[[], None]
) -> None:
    """Do something in a forked process, once, at a moment of its run."""
    own, done = os.getpid(), list[bool]()

    def once(process: int) -> None:
        if process == rank and os.getpid() != own and not done:
            done.append(True)
            act()

    if moment == "step":
        at(7, act, rank=rank)
    elif moment == "loading":
        build = assemble.assemble
        patch.setattr(assemble, "assemble", lambda *a, **b: (once(together.worlds.current().rank), build(*a, **b))[1])
    elif moment == "evaluation":
        measure = loop.evaluate
        patch.setattr(loop, "evaluate", lambda e, *a: (e.world.size > 1 and once(e.world.rank), measure(e, *a))[1])
    else:
        for kind in (checkpoint_writer.CheckpointWriter, checkpoint_writer.NullWriter):
            save = kind.save
            patch.setattr(kind, "save", lambda self, save=save: (once(self.run.world.rank), save(self))[1])


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(("name", "rank", "moment"), chosen(list(product(SIGNALS, (0, 1), MOMENTS)), 6))
def test_a_signal_at_any_moment_stops_all_and_the_run_continues_to_the_same_bits(
    name, rank, moment, at, tmp_path, monkeypatch
):
    words = [*TINY, "checkpoint.every_seconds=0"]
    with monkeypatch.context() as patch:
        patch.setattr(eager, "batch_of", eager.batch_of)
        disturb(patch, at, moment, rank, lambda: os.kill(os.getpid(), getattr(signal, name)))
        began = time.monotonic()
        found = train(tmp_path / "run", 2, words)[0]
        assert time.monotonic() - began < 40  # on a busy machine
    if name == "SIGUSR1":
        assert found["outcome"] == "finished"
    else:
        assert found == SIGNALS[name]
        assert (tmp_path / "run").exists() is (moment != "loading")
    if (tmp_path / "run").exists():
        train(tmp_path / "whole", 1, words)
        resume(tmp_path / "run", 1)
        assert same(tmp_path / "whole", tmp_path / "run")


def test_who_saves_slowly_may_finish_though_another_process_has_failed(monkeypatch):
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(launch, "_send", lambda child, number: sent.append((child.rank, number)))
    running = type("Running", (), {"poll": lambda self: None})
    attempt = Launch([Child(rank, running(), None) for rank in range(2)])
    for seconds in (4.9, 5.1, 9.9, 10.1, 40.0, 304.0):  # the first one needs minutes for a slow disk
        launch._end_all(attempt, seconds, timeout=300.0)
    assert (0, signal.SIGKILL) not in sent
    assert (1, signal.SIGKILL) in sent
    launch._end_all(attempt, 306.0, timeout=300.0)
    assert (0, signal.SIGKILL) in sent


@pytest.mark.parametrize(
    ("code", "directory", "sent"), [(-9, "", True), (130, "", True), (3, "", False), (-9, "runs/x", False)]
)
def test_nobody_waits_where_a_process_was_stopped_before_there_was_a_run(code, directory, sent, monkeypatch):
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(launch, "_send", lambda child, number: found.append((child.rank, number)))
    ends = [type("Process", (), {"poll": lambda self, code=each: code})() for each in (None, code)]
    attempt = Launch([Child(rank, process, None) for rank, process in enumerate(ends)])
    attempt.told |= {"directory": directory} if directory else {}
    launch._end_all(attempt, 1.0, timeout=300.0)
    assert found == ([(0, signal.SIGTERM)] if sent else [])


def test_sigusr1_is_passed_on_once_there_is_something_to_save(monkeypatch):
    sent: list[int] = []
    monkeypatch.setattr(launch, "_send", lambda child, number: sent.append(number))
    attempt = Launch([Child(0, None, None)])
    before = launch._install(attempt)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert sent == []
        attempt.told["directory"] = "runs/x"
        os.kill(os.getpid(), signal.SIGUSR1)
        assert sent == [signal.SIGUSR1]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_first_process_of_a_machine_loads_before_the_others(tmp_path, monkeypatch):
    build, marks = assemble.assemble, tmp_path / "marks"

    def loading(*given: Any, **named: Any) -> Any:
        with marks.open("a") as file:
            print("begins", file=file, flush=True)
            time.sleep(0.3)
            run = build(*given, **named)
            print("ends", file=file, flush=True)
        return run

    monkeypatch.setattr(assemble, "assemble", loading)
    processes.run(3, begin(tmp_path / "run", [*TINY, "loop.max_steps=2"]))
    assert marks.read_text().split()[:2] == ["begins", "ends"]


@pytest.mark.slow
def test_a_rewind_goes_to_the_same_step_everywhere_however_slow_the_disk_is(tmp_path, monkeypatch):
    words = [*TINY, "loop.on_nonfinite=rewind", "checkpoint.every_seconds=0", "optimizer=sgd", "optimizer.lr=1e18"]
    train(tmp_path / "one", 1, words)
    newest = restore.newest
    monkeypatch.setattr(restore, "newest", lambda *a, **b: (time.sleep(0.2), newest(*a, **b))[1])
    train(tmp_path / "two", 2, words)
    assert same(tmp_path / "one", tmp_path / "two")
    assert "(rewind 1 of" in Path(tmp_path / "two" / "log.txt").read_text()


def test_sigterm_to_all_processes_saves_though_rows_are_read_from_disk(at, tmp_path, monkeypatch):
    write_data(monkeypatch)
    train(tmp_path / "whole", 1, RUNS["on disk"])
    with monkeypatch.context() as patch:
        patch.setattr(eager, "batch_of", eager.batch_of)
        for rank in range(2):
            at(7, lambda: os.kill(os.getpid(), signal.SIGTERM), rank=rank)
        assert train(tmp_path / "run", 2, RUNS["on disk"])[0] == 143
    assert restore.newest(tmp_path / "run").manifest.step == 8
    resume(tmp_path / "run", 1)
    assert same(tmp_path / "whole", tmp_path / "run")


def test_processes_share_the_cpus_of_their_machine(monkeypatch):
    monkeypatch.setattr(threads, "allowed", lambda: {0, 1, 2, 3})
    monkeypatch.setattr(threads, "quota", lambda: None)
    monkeypatch.setattr(threads, "from_environment", lambda: None)
    words = compose.compose([word for word in TINY if not word.startswith("threads=")])
    assert [together.threads_for(words, World(0, size, 0, size)) for size in (1, 2, 3, 8)] == [4, 2, 1, 1]
    assert together.threads_for(compose.compose(TINY), World(0, 2, 0, 2)) == 1


def test_a_run_that_is_resumed_by_others_keeps_its_number_of_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "allowed", lambda: {0, 1, 2, 3})
    monkeypatch.setattr(threads, "quota", lambda: None)
    monkeypatch.setattr(threads, "from_environment", lambda: None)
    words = [*(word for word in TINY if not word.startswith("threads=")), "loop.stop_at_step=2"]
    before = torch.get_num_threads()
    train(tmp_path / "run", 3, words)
    found = [restore.newest(tmp_path / "run").manifest.threads]
    for size, stop in ((1, "4"), (2, "null")):
        resume(tmp_path / "run", size, f"loop.stop_at_step={stop}")
        found.append(restore.newest(tmp_path / "run").manifest.threads)
    assert found == [1, 1, 1]
    assert torch.get_num_threads() == before


def test_processes_that_cannot_connect_name_the_variable_to_set(monkeypatch):
    def refuse(*given: Any, **named: Any) -> None:
        raise RuntimeError("[enforce fail] connect [10.0.0.7]:41: Connection refused\nframe #0: c10")

    monkeypatch.setattr(torch.distributed, "init_process_group", refuse)
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    store = SimpleNamespace(clone=lambda: None, check=lambda keys: False)
    link = Link(Place(1, 2, 1, 2, "127.0.0.1", 1, "srun"), store)
    with pytest.raises(
        errors.UnavailableError, match=r"process 1 on .* \(.*10.0.0.7.*\); .*GLOO_SOCKET_IFNAME"
    ) as caught:
        link.connect(torch.device("cpu"), 1.0)
    assert "frame" not in str(caught.value)
    assert os.environ["GLOO_SOCKET_IFNAME"] in ("lo", "lo0")
