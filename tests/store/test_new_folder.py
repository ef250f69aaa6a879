"""A directory of results appears whole or not at all, and never through a link."""

import pytest

from tests.faults import FailingDisk, replace_os
from trainctl.errors import CheckpointError, StorageError
from trainctl.store import files, new_folder, runpath


def fill(target, meanwhile=lambda: None, numbered=False):
    """Fill a directory with one file, and do something else meanwhile."""
    with new_folder.filled(target, numbered=numbered) as filling:
        files.write_bytes(filling.folder / "a", b"1")
        meanwhile()


def test_a_directory_has_its_name_once_it_is_full(tmp_path):
    target = tmp_path / "new" / "out"
    with new_folder.filled(target) as filling:
        files.write_bytes(filling.folder / "a", b"1")
        assert not target.exists()
    assert filling.path == target
    assert (target / "a").read_bytes() == b"1"
    assert [path.name for path in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_work_that_failed(tmp_path, error):
    def fail():
        raise error

    with pytest.raises(error):
        fill(runpath.hold(tmp_path) / "explain", fail, numbered=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "explain" / "notes").mkdir(parents=True)
    with pytest.raises(error):
        fill(runpath.hold(tmp_path) / "explain", fail, numbered=True)
    assert [path.name for path in (tmp_path / "explain").iterdir()] == ["notes"]


def test_numbers_count_up_whatever_else_is_there(tmp_path):
    held = runpath.hold(tmp_path)
    (tmp_path / "explain" / "notes").mkdir(parents=True)
    for name in ("7", "999999999999", "²"):
        (tmp_path / "explain" / name).mkdir()
    for expected in ("8", "9"):
        with new_folder.filled(held / "explain", numbered=True) as filling:
            pass
        assert filling.path == held / "explain" / expected


def test_two_at_a_time_get_numbers_of_their_own(tmp_path):
    held = runpath.hold(tmp_path)
    with (
        new_folder.filled(held / "explain", numbered=True) as first,
        new_folder.filled(held / "explain", numbered=True) as second,
    ):
        pass
    assert (second.path.name, first.path.name) == ("1", "2")


def test_a_directory_that_appears_meanwhile_is_not_overwritten(tmp_path):
    with pytest.raises(StorageError, match="out: already exists"), new_folder.filled(tmp_path / "out"):
        (tmp_path / "out").mkdir()
    assert list((tmp_path / "out").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_link_in_a_run_is_followed(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    elsewhere.mkdir()
    (run / "explain").symlink_to(elsewhere)
    with pytest.raises(
        StorageError, match=r"explain: is a link, not a directory; nothing in a run directory may be a link"
    ):
        fill(runpath.hold(run) / "explain", numbered=True)
    (run / "explain").unlink()
    (run / "explain").write_text("x")
    with pytest.raises(StorageError, match="explain: is a file, not a directory"):
        fill(runpath.hold(run) / "explain", numbered=True)
    assert list(elsewhere.iterdir()) == []


def test_a_link_that_appears_meanwhile_is_not_followed(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    elsewhere.mkdir()

    def replace():
        (run / "explain").rename(run / "moved")
        (run / "explain").symlink_to(elsewhere)

    with pytest.raises((StorageError, CheckpointError)):
        fill(runpath.hold(run) / "explain", replace, numbered=True)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("only", ["open", "mkdir", "replace", "write"])
def test_a_disk_that_fails_is_reported_and_leaves_no_result(tmp_path, monkeypatch, only):
    disk = FailingDisk(1, persistent=True, only=(only,))
    replace_os(monkeypatch, disk)
    with pytest.raises(StorageError):
        fill(tmp_path / "out")
    assert disk.fired
    assert not (tmp_path / "out").exists()
