"""A signal that arrives while PyTorch is imported ends the command as any other one, whatever the import makes of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainctl import cli
from trainctl.errors import ConfigError
from trainctl.machine import launch, signals
from trainctl.machine.launch import GONE, Child, Launch
from trainctl.machine.signals import Terminate

LATE = 'ImportError("cannot load module more than once per process")'
TORCH = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.{name})
    time.sleep(5)
except BaseException:
    {answer}
"""
PLACE = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "9",
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("answer", ["raise", f"raise {LATE}", "pass", 'raise ValueError("PYTORCH_X")'])
@pytest.mark.parametrize(("name", "code", "word"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")])
@pytest.mark.parametrize("module", ["trainctl", "trainctl.worker"])
def test_it_is_one_line_in_the_first_process_and_none_in_the_others(name, code, word, answer, module, tmp_path):
    (tmp_path / "torch.py").write_text(TORCH.format(name=name, answer=answer))
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", module, "dataset=iris"],
        cwd=tmp_path, env=os.environ | path | (PLACE if module == "trainctl.worker" else {}), capture_output=True, text=True,
        timeout=60,
        preexec_fn=restore,
    )  # fmt: skip
    said = f"trainctl: {word}; everything saved so far is intact\n" if module == "trainctl" else ""
    assert (done.returncode, done.stderr) == (code, said)
    assert not Path(tmp_path, "runs").exists()


def test_the_launcher_prints_what_ended_the_first_process(monkeypatch, capsys):
    own, theirs = socket.socketpair()
    with own, theirs:
        monkeypatch.setattr(launch, "_launcher", [theirs])
        assert cli.stopped(Terminate) == GONE
        said = json.loads(own.recv(1000))
    assert said == {"stopped": "terminated; everything saved so far is intact", "code": 143}
    assert capsys.readouterr().err == ""


def test_a_signal_that_a_library_turns_into_an_error_is_still_a_signal(monkeypatch, capsys):
    def compose(words: list[str]) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt as error:  # as OmegaConf does in the middle of a change
            raise ConfigError("the default run: cannot be composed: AttributeError") from error
        return 0

    monkeypatch.setattr(cli, "dispatch", compose)
    monkeypatch.setattr(signals, "_leaving", [])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert cli.alone() == 143
    finally:
        signal.signal(signal.SIGTERM, before)  # which is ignored now
    assert capsys.readouterr().err == "trainctl: terminated; everything saved so far is intact\n"


def restore() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it


@pytest.mark.parametrize(
    ("codes", "ended", "code"),
    [([143, 130], (0,), 130), ([143, 1], (0,), 1), ([3, 3], (0,), 3), ([143, GONE], (0,), 143), ([143, 130], (), 143)],
)
def test_the_exit_code_is_that_of_a_process_which_failed_before_the_first_one_knew_it(codes, ended, code):
    children = [
        Child(rank, type("Ended", (), {"poll": lambda self, code=code: code})(), None)
        for rank, code in enumerate(codes)
    ]
    assert launch.outcome(Launch(children, ended=set(ended))) == (code, "")


@pytest.mark.skipif(sys.platform == "win32", reason="processes that follow others")
@pytest.mark.parametrize("module", ["trainctl", "trainctl.worker"])
def test_too_little_memory_for_pytorch_is_one_line_in_every_process(module, tmp_path):
    text = "libtorch_python.so: failed to map segment from shared object"
    (tmp_path / "torch.py").write_text(f"raise ImportError({text!r})")
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", module, "dataset=iris"],
        cwd=tmp_path, env=os.environ | path | (PLACE if module == "trainctl.worker" else {}), capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, len(done.stderr.splitlines())) == (7, 1)
    assert "out of memory: PyTorch cannot be loaded" in done.stderr
    assert ("process 1 on " in done.stderr) == (module == "trainctl.worker")
