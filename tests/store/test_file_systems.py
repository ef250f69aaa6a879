"""File systems that cannot sync, do not open directories, or take no bytes: a run is trained there, or ends and says why."""

import errno
import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults import replace_os
from tests.train.test_faults import settings
from trainctl.errors import Advice, Interrupted, StorageError
from trainctl.store import disk, files, restore, rundir, runpath
from trainctl.train import checkpoint_writer, session


class Other:
    """An ``os`` in which some functions are others."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        self.functions = functions

    def __getattr__(self, name: str) -> Any:
        return self.functions.get(name) or getattr(os, name)


def refusing(error: int, *, directories: bool) -> Callable[[int], None]:
    """Return an ``fsync`` that fails, for all files or for directories only."""

    def fsync(handle: int) -> None:
        if not directories or stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(error, os.strerror(error))

    return fsync


def opening_no_directory(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    handle = os.open(path, flags, mode, dir_fd=dir_fd)
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    return handle


SYSTEMS = {
    "no sync of directories": {"fsync": refusing(errno.EINVAL, directories=True)},
    "sync of directories not supported": {"fsync": refusing(errno.EOPNOTSUPP, directories=True)},
    "no sync at all": {"fsync": refusing(errno.ENOSYS, directories=False)},
    "directories cannot be opened": {"open": opening_no_directory},
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_file_system_without_sync_works_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    disk.TOLD.clear()
    replace_os(monkeypatch, Other(**SYSTEMS[name]))
    monkeypatch.setattr(runpath, "os", Other(**SYSTEMS[name]))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", Advice)
        with pytest.raises(Interrupted):
            session.begin(settings("loop.stop_at_step=1"), [], tmp_path / "run")
        session.resume(settings(), [], tmp_path / "run")
    notes = [str(each.message) for each in told if "cannot sync" in str(each.message)]
    assert len(notes) == (2 if name == "no sync at all" else 1), notes
    assert restore.newest(tmp_path / "run").manifest.step == 2
    disk.TOLD.clear()


def test_links_are_refused_too_where_directories_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "victim")
    monkeypatch.setattr(runpath, "HAS_DESCRIPTORS", False)
    with pytest.raises(StorageError, match="Not a directory"):
        files.write_bytes(runpath.hold(tmp_path / "run") / "checkpoints" / "x", b"x")
    assert list((tmp_path / "victim").iterdir()) == []


def test_a_sync_that_fails_is_no_lack_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_os(monkeypatch, Other(fsync=refusing(errno.EIO, directories=True)))
    with pytest.raises(StorageError, match="Input/output error"):
        files.write_bytes(tmp_path / "x", b"x")


def test_a_file_system_that_takes_no_bytes_ends_the_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_os(monkeypatch, Other(write=lambda handle, content: 0))
    with pytest.raises(StorageError, match="accepted no more bytes"):
        files.write_bytes(tmp_path / "x", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_plot_of_any_error_loses_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise ValueError("Qt4Agg is not a valid backend")

    monkeypatch.setattr("trainctl.report.plots.curves", broken)
    with pytest.warns(Advice, match="the plots are incomplete: Qt4Agg is not a valid backend"):
        summary = session.begin(settings("output.plots=true"), [], tmp_path / "run")
    assert rundir.read_json(tmp_path / "run" / "summary.json")["outcome"] == summary["outcome"] == "finished"


@pytest.mark.parametrize("code", [0, None, "done"])
def test_code_that_exits_in_a_step_is_an_error_and_the_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, code: object
) -> None:
    def exiting(self: Any, *arguments: Any) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("torch.optim.Adam.step", exiting)
    monkeypatch.setattr(checkpoint_writer, "PAUSES", ())
    monkeypatch.setattr(
        "sys.argv", ["trainctl", "dataset=iris", "model=linear", "output.plots=false", "loop.record=never"]
    )
    from trainctl import cli

    assert cli.main() == 2
    err = capsys.readouterr().err
    assert "test_file_systems.py, line " in err
    assert f"called sys.exit({code!r}) during the run; raise an exception instead" in err
    (directory,) = rundir.all_runs(Path("runs"))
    assert rundir.read_json(directory / "summary.json")["outcome"] == "failed"
    assert restore.newest(directory).manifest.step == 0
