"""What is typed after `export` is checked before torch is imported and before anything is computed."""

import importlib.util
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults import FailingDisk, replace_os
from tests.finished import test_open as test_loading
from tests.finished.test_open import Say
from tests.zygote import Process
from trainctl.command import export
from trainctl.errors import StorageError
from trainctl.finished import export as exporting
from trainctl.settings import compose
from trainctl.store import directories
from trainctl.train import session

say = test_loading.say
SMALL = ("dataset=iris", "model=mlp", "model.hidden=[4]", "loop.epochs=1", "output.plots=false")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exports") / "my-run"
    session.begin(compose.compose(SMALL), [], directory)
    return directory


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("", 2, "export needs a run"),
        ("none", 4, "none: no such run in runs"),
        ("RUN another", 2, "another: unexpected argument"),
        ("RUN format=onx", 2, "format=onx: no such format; did you mean onnx?"),
        ("RUN format=onnx output=m.pt2", 2, "output=m.pt2: .pt2 is the ending of format=torch, not of format=onnx"),
        ("RUN opset=12", 2, "opset=12: expected a whole number in [13, 23]"),
        ("RUN opset=x", 2, "opset=x: expected a whole number"),
        ("RUN opset=18 format=torch", 2, "opset=18: only for format=onnx, not for format=torch"),
        ("RUN stages=0", 2, "stages=0: expected a whole number in [1, inf)"),
        ("RUN stages=3 output=parts", 2, "stages=3: this model can be cut into at most 2 parts"),
        ("RUN stages=2 output=m.safetensors", 2, "stages=2: format=safetensors contains no program"),
        ("RUN which=newest", 2, "which=newest: no such which"),
        ("RUN output=there.onnx", 2, "output=there.onnx: file already exists"),
        ("RUN output=no/m.onnx", 2, "output=no/m.onnx: no: no such directory"),
        ("RUN output=there.onnx/m.onnx", 5, "output=there.onnx/m.onnx: cannot be written"),
        ("RUN model.hidden=[9]", 2, "model.hidden=[9]: cannot change in an existing run"),
        ("RUN dataset.root=x", 2, "dataset.root=x: no such setting"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_left(
    words: str, code: int, message: str, run: Path, say: Say, tmp_path: Path
) -> None:
    (tmp_path / "there.onnx").write_text("mine")
    found, out, err = say("export", *words.replace("RUN", str(run)).split())
    assert (found, out) == (code, "")
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_what_installs_it(
    missing: str, run: Path, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else find(name, *rest))
    code, out, err = say("export", run)
    assert (code, out) == (7, "")
    assert err == f"trainctl: format=onnx needs {missing}: pip install 'trainctl[export]'\n"
    assert say("export", run, "format=safetensors")[0] == 0  # which needs none of them
    assert [path.name for path in tmp_path.iterdir()] == ["my-run.safetensors"]


def test_nothing_is_kept_in_the_home_directory_or_sent(
    run: Path, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    done = command("export", str(run), "output=m.onnx", HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert [path for path in (tmp_path / "home").rglob("*") if "onnx" in path.name.lower()] == []


def test_the_ending_says_the_format_and_the_run_names_the_file(run: Path, say: Say, tmp_path: Path) -> None:
    for words, name in (("", "my-run.onnx"), ("output=m.SafeTensors", "m.SafeTensors")):
        code, out, err = say("export", run, *words.split())
        assert code == 0, err
        assert out.splitlines()[0] == name
        assert "equals predict on 14 validation rows, 1, 2 and 7 at a time; largest difference " in out
    assert (tmp_path / "m.SafeTensors").read_bytes()[8:24].startswith(b'{"__metadata__"')


def test_the_suffixes_of_the_command_are_those_of_the_files() -> None:
    assert {kind: suffix for suffix, kind in export.SUFFIXES.items()} == exporting.SUFFIXES


def test_a_directory_of_stages_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"stage-1.onnx": b"one", "stage-2.onnx": b"two"}
    operations = ("open", "write", "fsync", "mkdir", "rename")
    for n in range(1, 50):
        with monkeypatch.context() as patch:
            disk = FailingDisk(n, persistent=False, only=operations)
            replace_os(patch, disk)
            try:
                directories.write_directory(tmp_path / "parts", contents)
            except StorageError:
                left = [path.name for path in tmp_path.iterdir()]
                assert left in ([], ["parts"]), (n, left)  # the last operations only sync what is there
            else:
                assert not disk.fired
                break
        if (tmp_path / "parts").exists():
            assert {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()} == contents
            for path in (tmp_path / "parts").iterdir():
                path.unlink()
            (tmp_path / "parts").rmdir()
    assert n > 8
    assert {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()} == contents


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_nothing_or_a_whole_file(
    run: Path, start: Callable[..., Process], say: Say, tmp_path: Path
) -> None:
    assert say("export", run, "output=whole.safetensors")[0] == 0
    whole = (tmp_path / "whole.safetensors").read_bytes()
    outcomes = set()
    for tenths in (0, 1, 2, 4, 8, 16):
        process = start("export", str(run), "output=killed.safetensors")
        time.sleep(tenths / 10)
        with suppress(ProcessLookupError):  # it has ended
            process.send_signal(signal.SIGKILL)
        process.communicate(60)
        target = tmp_path / "killed.safetensors"
        outcomes.add(target.exists())
        assert not target.exists() or target.read_bytes() == whole
        target.unlink(missing_ok=True)
    assert False in outcomes
