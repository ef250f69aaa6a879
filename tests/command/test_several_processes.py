"""The command `processes=N`: one run directory, one exit code, one message, and nothing left behind."""

import importlib
import json
import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from trainctl import cli
from trainctl.command import launching
from trainctl.errors import ConfigError, UnavailableError
from trainctl.machine import launch
from trainctl.machine.environment import Place
from trainctl.machine.launch import GONE, Child, Launch
from trainctl.settings import compose, processes

TINY = ("dataset=iris", "model=mlp", "model.hidden=[8]", "loop.batch_size=20", "loop.micro_batches=2", "threads=1",
        "output.plots=false", "loop.max_steps=12", "loop.eval_every_steps=5")  # fmt: skip
LONG = (*TINY, "loop.max_steps=1000000", "checkpoint.every_seconds=0")


def attempt(codes: list[int], *, sent: tuple[int, ...] = (), ended: tuple[int, ...] = (), **told: Any) -> Launch:
    children = [Child(rank, SimpleNamespace(poll=lambda code=code: code), None) for rank, code in enumerate(codes)]
    return Launch(children, list(sent), told, set(ended))


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 7, 130, 143])
def test_the_exit_code_is_that_of_the_first_process_which_knows_who_failed(code):
    assert launch.outcome(attempt([code, GONE])) == (code, "")
    assert launch.outcome(attempt([code, code])) == (code, "")


@pytest.mark.parametrize(
    ("found", "code", "message"),
    [
        (attempt([GONE, -9], saved=120, directory="runs/x"), 7,
         "was killed (SIGKILL), as when memory runs out; the state at step 120 is saved; resume with: trainctl resume runs/x"),
        (attempt([GONE, -9], saved=120, directory="runs/x", shares="the weights (distributed.shard=true)"), 7,
         "checkpoint is that of step 120, as each process had a share of the weights (distributed.shard=true); resume with: "),
        (attempt([-11, GONE]), 7, "process 0 on "),
        (attempt([GONE, -9], ended=(0,), stopped="terminated", code=143), 7, "process 1 on "),  # while the first one loaded
        (attempt([GONE, GONE], stopped="terminated; all is intact", code=143), 143, "terminated; all is intact"),
        (attempt([GONE, -2], sent=(2,), stopped="interrupted; all is intact", code=130), 130, "interrupted; all is intact"),
        (attempt([GONE, 3], ended=(0,), stopped="terminated; all is intact", code=143), 3, "has ended with exit code 3"),
        (attempt([GONE, 143], ended=(0,), stopped="terminated; all is intact", code=143), 143, "terminated; all is intact"),
        (attempt([-15, -15], sent=(15,)), 143, "stopped"),
        (attempt([-2, GONE], sent=(2,)), 130, "stopped"),
        (attempt([GONE, GONE], gone="process 1 has not answered"), 7, "process 1 has not answered"),
        (attempt([GONE, -9], ended=(1,), gone="process 1 has not answered"), 7, "process 1 has not answered"),
    ],
    ids=["killed", "shares lost", "first killed", "killed early", "first terminated", "interrupted", "failed early", "stopped early",
         "terminated early", "interrupted early", "gone", "hung"],
)  # fmt: skip
def test_a_process_that_cannot_say_what_happened_is_spoken_for(found, code, message):
    exit_code, text = launch.outcome(found)
    assert (exit_code, message in text) == (code, True), text


@pytest.mark.parametrize(
    ("word", "cpus", "gpus", "expected"),
    [("1", 1, 0, 1), ("2", 2, 0, 2), ("auto", 8, 0, 1), ("auto", 8, 3, 3), ("auto", 8, 64, 20), ("3", 2, 3, 3)],
)
def test_auto_is_one_for_each_gpu_and_one_on_a_cpu(word, cpus, gpus, expected):
    checked = compose.compose([*TINY, f"processes={word}"])
    assert processes.wanted(checked, cpus, lambda: gpus, typed=True) == (expected, "")


def test_more_processes_than_cpus_are_refused_where_they_were_typed_and_fewer_elsewhere():
    checked = compose.compose([*TINY, "processes=4"])
    with pytest.raises(ConfigError, match=r"processes=4: this machine has 2 CPUs for it: .* give processes=2"):
        processes.wanted(checked, 2, lambda: 0, typed=True)
    count, note = processes.wanted(checked, 2, lambda: 0, typed=False)
    assert (count, note) == (2, "processes=2 instead of 4: this machine has 2 CPUs; the numbers stay the same")


def test_a_number_that_the_launcher_contradicts_is_refused(monkeypatch):
    place = {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "1",
    }
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    checked = compose.compose([*TINY, "processes=4"])
    with pytest.raises(ConfigError, match="processes=4, but torchrun started 2: leave processes out"):
        launching.in_processes(checked, [], ["processes=4"])
    assert launching.in_processes(checked, [], []) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "processes=2", "seed=0,1"], "a trial of a sweep is trained by one process: add processes=1"),
        (["-m", "processes=1,2"], "processes=2: a trial of a sweep is trained by one process: add processes=1"),
        (["find-lr", "processes=2"], "processes=2: find-lr uses one process: add processes=1"),
        (["profile", "processes=2"], "processes=2: profile uses one process"),
    ],
)
def test_what_one_process_does_is_refused_by_name(command, words, message, tmp_path):
    done = command(*words)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("word", ["processes=2", "distributed.timeout=1m"])
@pytest.mark.parametrize(
    "command",
    ["evaluate", "explain", "predict", "report", "export", "quantize", "split", "ensemble", "merge", "serve"],
)
def test_a_command_that_trains_nothing_refuses_processes_before_it_looks_for_the_run(command, word, monkeypatch):
    monkeypatch.setattr(launching, "import_torch", lambda: pytest.fail("imports torch"))
    with pytest.raises(ConfigError, match=f"{word}: {command} uses one process, however many trained the run: leave"):
        importlib.import_module(f"trainctl.command.{command}").main(["no-such-run", "other", word])


@pytest.mark.parametrize("command", ["verify", "reproduce", "resume"])
def test_a_run_that_exists_keeps_the_parts_of_its_batches(command, tmp_path, monkeypatch):
    monkeypatch.setattr(launching, "in_processes", lambda *_: pytest.fail("starts processes"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(compose.compose([*TINY, "loop.micro_batches=1"]).tree))
    with pytest.raises(ConfigError, match=r"processes=2: this run computes a batch in 1 part .*, so one process can"):
        importlib.import_module(f"trainctl.command.{command}").main([str(tmp_path / "run"), "processes=2"])


def test_a_restart_resumes_the_run_unless_the_settings_are_wrong(monkeypatch):
    starts: list[list[str]] = []
    codes = iter([[GONE, -9], [0, 0]])

    def started(words: list[str], count: int) -> Launch:
        starts.append(list(words))
        return attempt(next(codes), directory="runs/x", components=["mine"])

    monkeypatch.setattr(launch, "_start", started)
    monkeypatch.setattr(launch, "_wait", lambda found, timeout: None)
    notes: list[str] = []
    assert launch.run(["train"], 2, restarts=1, timeout=1, note=notes.append) == 0
    assert starts == [["train"], ["resume", "runs/x", "components=[mine]"]]
    assert "was killed (SIGKILL), as when memory runs out; resuming it, 0 of 1 restarts are left" in notes[0]
    for code in (2, 3, 130):
        codes = iter([[code, GONE]])
        assert launch.run(["train"], 2, restarts=1, timeout=1, note=notes.append) == code
    codes = iter([[GONE, -9]])
    with pytest.raises(UnavailableError, match="was killed"):
        launch.run(["train"], 2, restarts=0, timeout=1, note=notes.append)


def shown(text: str) -> list[str]:
    """Return what a run prints, without what differs from run to run."""
    lines = [
        line for line in text.splitlines() if not line.startswith(("run ", "next", "time", " ", "device", "world"))
    ]
    return [line.partition("  lr ")[0] for line in lines]


@pytest.mark.slow
def test_the_command_trains_and_resumes_in_two_processes(command, tmp_path):
    one = command(*TINY)
    two = command(*TINY, "processes=2", "output.root=both", "logger=[csv]")
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert shown(one.stdout) == shown(two.stdout)
    (run,) = (path.parent for path in (tmp_path / "both").glob("*/config.yaml"))
    assert json.loads((run / "run.json").read_text())["processes"] == 2
    (logged,) = run.rglob("metrics.csv")
    rows = [line for line in (run / "metrics.jsonl").read_text().splitlines() if "test/" not in line]
    assert len(logged.read_text().splitlines()) == 1 + len(rows)
    done = command("verify", "root=both", "processes=1")
    assert (done.returncode, "bit-identical from the start" in done.stdout) == (0, True), done.stderr
    wrong = command(*TINY, "processes=2", "model.hidden=[8]", "loss=mse", "output.root=none")
    assert (wrong.returncode, wrong.stderr.count("loss=mse")) == (2, 1), wrong.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_processes_import_nothing_from_the_working_directory(command, tmp_path):
    for name in ("torch", "random", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working directory')")
    done = command(*TINY, "processes=2", "loop.max_steps=2", fresh=True)
    assert done.returncode == 0, done.stderr
    assert "working directory" not in done.stdout + done.stderr


def test_a_checkout_that_is_not_installed_is_found_by_the_processes(monkeypatch):
    root = str(Path(launch.__file__).parents[2])
    monkeypatch.setattr(sys, "path", [root])
    assert launch._found() == {}
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert launch._found() == {"PYTHONPATH": root}
    monkeypatch.setenv("PYTHONPATH", "/first")
    assert launch._found() == {"PYTHONPATH": f"/first{os.pathsep}{root}"}


FAILING = """
import os
import platform
from trainctl.components.metric.base import LABELS, Metric, Scores, single


def failing(*, how: str) -> Metric:
    def value(scores: Scores) -> float:
        if os.environ["RANK"] == "1" and how == "exit":
            os._exit(5)  # as a library does
        if os.environ["RANK"] == "1":
            raise MemoryError
        return 0.0

    return single("failing", value, LABELS)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exit", "disappeared without a message; the state at step 6 is saved"),
        ("memory", "out of memory; try a smaller"),
    ],
)
def test_a_process_that_exits_or_lacks_memory_is_named_with_its_machine(how, message, command, tmp_path):
    for path, text in {
        "mine/metric/failing.py": FAILING,
        "conf/metric/failing.yaml": "# @package metric.failing\nname: failing\nhow: exit\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    done = command(
        *TINY, "components=[mine]", "metric=[failing]", f"metric.failing.how={how}", "processes=2",
        "loop.eval_every_steps=6",
    )  # fmt: skip
    assert done.returncode == 7
    said = [line for line in done.stderr.splitlines() if "note:" not in line]
    assert len(said) == 1
    assert said[0].startswith(f"trainctl: process 1 on {platform.node()}")
    assert message in said[0]


def test_nobody_waits_for_the_farewell_of_a_process_that_has_ended(monkeypatch):
    published: list[str] = []

    def farewell(code: int) -> bool:
        published.append(f"end {code}")
        return True

    link = SimpleNamespace(
        presence=SimpleNamespace(ended=lambda: [2, 3]),
        publish=lambda key, value: published.append(key),
        farewell=farewell,
    )
    monkeypatch.setattr("trainctl.machine.world.current", lambda: SimpleNamespace(link=link))
    assert cli.farewell(Place(0, 4, 0, 4, "127.0.0.1", 1, "trainctl"), 7)
    assert published == ["left/2", "left/3", "end 7"]
