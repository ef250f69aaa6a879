"""Places where no run can be kept are one clear line, and nothing is left there; odd names are shown literally."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.train.test_faults import settings
from trainctl.command import train
from trainctl.errors import TrainctlError
from trainctl.report import reporters
from trainctl.store import rundir
from trainctl.train import session

IRIS = ("dataset=iris", "model=linear", "loop.max_steps=1", "output.plots=false")


@pytest.mark.parametrize(
    ("root", "code", "message"),
    [
        ("file", 5, "not a directory"),
        ("file/runs", 5, "Not a directory"),
        ("/proc/runs", 5, "cannot create directory"),
        ("x" * 300, 5, "File name too long"),
        ("loop/runs", 5, "Too many levels of symbolic links"),
        ("run", 2, "output.root=run is a run directory; continue it with trainctl resume run"),
        ("~nosuchuser/runs", 2, "output.root=~nosuchuser/runs: there is no such home directory"),
    ],
    ids=["file", "below-a-file", "unwritable", "300-characters", "symlink-loop", "a-run", "no-home"],
)
def test_a_root_where_no_run_can_be_kept_is_one_line(
    tmp_path: Path, command: Callable[..., Any], root: str, code: int, message: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 0\n")
    before = sorted(tmp_path.rglob("*"))

    answer = command(*IRIS, f"output.root={root}")

    assert (answer.returncode, answer.stderr.count("\n")) == (code, 1), answer.stderr
    assert answer.stderr.startswith("trainctl: ")
    assert message in answer.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("first", [[], ["-m", "seed=0,1"]])
@pytest.mark.parametrize("root", ["run", "~nosuchuser/runs", "kept/a/b"])
def test_a_root_where_no_run_can_be_kept_is_refused_before_torch_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, first: list[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "kept").mkdir(mode=0o500)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("kept"))  # root may write everywhere
    monkeypatch.setattr(train, "import_torch", lambda: pytest.fail("PyTorch is imported"))
    with pytest.raises(TrainctlError, match=f"output.root={root}"):
        train.main([*IRIS, *first[1:], f"output.root={root}"], multirun=bool(first))


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may write everywhere")
def test_a_root_without_permission_is_a_storage_error(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "runs").mkdir(mode=0o500)
    assert command(*IRIS).returncode == 5


def test_keeping_one_checkpoint_is_refused(command: Callable[..., Any]) -> None:
    answer = command(*IRIS, "checkpoint.keep=1")
    assert answer.returncode == 2
    assert "checkpoint.keep=1" in answer.stderr


@pytest.mark.parametrize("root", ["a\nb", "[red]x[/]", "<script>", "ein Weg \U0001f600 \u00e9", "-rf", "it's"])
def test_odd_names_are_shown_literally(tmp_path: Path, capsys: pytest.CaptureFixture[str], root: str) -> None:
    chosen = settings("loop.max_steps=1")
    chosen = replace(chosen, output=replace(chosen.output, root=root))
    session.begin(chosen, [], reporters=reporters.on_terminal)
    (run,) = rundir.all_runs(tmp_path / root)
    shown = root.replace("\n", "\\n")
    assert f"run     {shown}{os.sep}{run.name}" in capsys.readouterr().out.splitlines()


def test_a_working_directory_that_is_gone_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    answer = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$0" -m trainctl "$@"', sys.executable, *IRIS],
        cwd=tmp_path / "gone", capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 5
    assert answer.stderr.startswith("trainctl: ")
    assert answer.stderr.count("\n") == 1


def test_ascii_and_no_home_are_enough(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    answer = command(*IRIS, "output.root=[x] \u00e9", LC_ALL="C", PYTHONIOENCODING="ascii", TMPDIR="/nowhere")
    assert answer.returncode in (0, 2), answer.stderr
    assert "Traceback" not in answer.stderr
