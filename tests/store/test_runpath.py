"""A path below an open directory follows no link, whenever it appeared."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trainctl.errors import CheckpointError, StorageError
from trainctl.store import files, runfile, runpath
from trainctl.store.runpath import RunPath

READS: dict[str, Callable[[RunPath], object]] = {
    "read": lambda held: runfile.read_bytes(held / "inner" / "file", 100),
    "list": lambda held: runfile.names(held / "inner"),
    "enter": lambda held: runpath.enter(held / "inner"),
}
CHANGES: dict[str, Callable[[RunPath], object]] = {
    "write": lambda held: files.write_bytes(held / "inner" / "file", b"changed"),
    "append": lambda held: files.append(held / "inner" / "file", b"changed"),
    "create": lambda held: files.create(held / "inner" / "new", b"new"),
    "create whole": lambda held: files.create_whole(held / "inner" / "new", b"new"),
    "open": lambda held: files.open_new(held / "inner" / "new"),
}


@pytest.fixture
def held(tmp_path: Path) -> RunPath:
    """Return an open directory in which ``inner`` leads to a directory outside."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"mine")
    (tmp_path / "run").mkdir()
    opened = runpath.hold(tmp_path / "run")
    (tmp_path / "run" / "inner").symlink_to(tmp_path / "outside")
    return opened


@pytest.mark.parametrize("name", READS)
def test_nothing_behind_a_link_is_read(held: RunPath, name: str) -> None:
    with pytest.raises(CheckpointError):
        READS[name](held)


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_behind_a_link_is_changed(held: RunPath, tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError):
        CHANGES[name](held)
    assert [path.read_bytes() for path in (tmp_path / "outside").iterdir()] == [b"mine"]


def test_a_directory_that_was_replaced_by_another_one_is_still_the_first(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    held = runpath.hold(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "run").mkdir()
    files.write_bytes(held / "file", b"content")
    assert (tmp_path / "moved" / "file").read_bytes() == b"content"
    assert not (tmp_path / "run" / "file").exists()


def test_nothing_is_appended_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "run" / "log.txt").symlink_to(tmp_path / "victim")
    with pytest.raises(StorageError, match=r"log\.txt"):
        files.append(runpath.hold(tmp_path / "run") / "log.txt", b"x")
    assert (tmp_path / "victim").read_text() == "mine"
