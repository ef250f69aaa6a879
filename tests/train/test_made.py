"""What processes have left that were killed while they made a run is removed, and nothing else."""

import errno
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.faults import FailingDisk, replace_os
from trainctl.errors import StorageError
from trainctl.store import lock, runpath
from trainctl.store.records import MadeBy
from trainctl.train import made

OLD = ".making-0123456789ab"
OTHERS = (".making-of", ".making-0123456789AB", ".making-0123456789abc", "making-0123456789ab", ".making-")


def aged(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "mine.txt").write_text("mine")
    age(path)
    return path


def age(path: Path) -> None:
    before = time.time() - 2 * made.ABANDONED
    os.utime(path, (before, before), follow_symlinks=False)


def test_only_directories_that_are_called_as_ours_are_removed(tmp_path: Path) -> None:
    for name in (OLD, *OTHERS):
        aged(tmp_path / name)
    made._remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(OTHERS)


@pytest.mark.parametrize("where", ["", "run"])
def test_no_link_is_followed(tmp_path: Path, where: str) -> None:
    victim = aged(tmp_path / "victim")
    if where:
        aged(tmp_path / OLD)
    (tmp_path / OLD / where if where else tmp_path / OLD).symlink_to(victim)
    age(tmp_path / OLD)
    before = victim.stat().st_mtime_ns
    made._remove_abandoned(tmp_path)
    assert (victim / "mine.txt").read_text() == "mine"
    assert victim.stat().st_mtime_ns == before  # no lock was put there
    assert os.path.lexists(tmp_path / OLD) == (not where)


def test_one_that_is_being_written_and_a_young_one_stay(tmp_path: Path) -> None:
    (aged(tmp_path / OLD) / "run").mkdir()
    age(tmp_path / OLD)
    with lock.hold(runpath.hold(tmp_path / OLD / "run")):
        assert json.loads((tmp_path / OLD / "run" / "lock.json").read_text())
        made._remove_abandoned(tmp_path)
    aged(tmp_path / ".making-ba9876543210")
    os.utime(tmp_path / ".making-ba9876543210")
    made._remove_abandoned(tmp_path)
    made._remove_abandoned(tmp_path / "nowhere")
    assert (tmp_path / ".making-ba9876543210" / "mine.txt").exists()


def test_a_full_disk_leaves_nothing_of_a_run_that_was_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"dataset": {"name": "iris"}, "model": {"name": "mlp"}}
    config = SimpleNamespace(parts=parts, output=SimpleNamespace(root=str(tmp_path / "runs")))
    (tmp_path / "runs").mkdir()
    replace_os(monkeypatch, FailingDisk(1, persistent=True, error=errno.ENOSPC, only=("write",)))
    with pytest.raises(StorageError):
        made.make(SimpleNamespace(config=config), MadeBy("merge"))  # type: ignore[arg-type]
    assert list((tmp_path / "runs").iterdir()) == []
