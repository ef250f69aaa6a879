"""What processes have left that were killed while they made a run is removed at once, and nothing else."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainctl.store import building, lock, rundir, runpath

OLD = ".making-0123456789ab"
OTHERS = (".making-of", ".making-0123456789AB", ".making-0123456789abc", "making-0123456789ab", ".making-")


def aged(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "mine.txt").write_text("mine")
    age(path)
    return path


def age(path: Path) -> None:
    before = time.time() - 2 * building.ABANDONED
    os.utime(path, (before, before), follow_symlinks=False)


def test_only_directories_that_are_called_as_ours_are_removed(tmp_path: Path) -> None:
    for name in (OLD, *OTHERS):
        aged(tmp_path / name)
    building.remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(OTHERS)


@pytest.mark.parametrize("where", ["", "run"])
def test_no_link_is_followed(tmp_path: Path, where: str) -> None:
    victim = aged(tmp_path / "victim")
    if where:
        aged(tmp_path / OLD)
    (tmp_path / OLD / where if where else tmp_path / OLD).symlink_to(victim)
    age(tmp_path / OLD)
    before = victim.stat().st_mtime_ns
    building.remove_abandoned(tmp_path)
    assert (victim / "mine.txt").read_text() == "mine"
    assert victim.stat().st_mtime_ns == before  # no lock was put there
    assert os.path.lexists(tmp_path / OLD) == (not where)


def test_one_that_is_being_written_and_a_young_one_stay(tmp_path: Path) -> None:
    (aged(tmp_path / OLD) / "run").mkdir()
    age(tmp_path / OLD)
    with lock.hold(runpath.hold(tmp_path / OLD / "run")):
        assert json.loads((tmp_path / OLD / "run" / "lock.json").read_text())
        building.remove_abandoned(tmp_path)
    aged(tmp_path / ".making-ba9876543210")
    os.utime(tmp_path / ".making-ba9876543210")
    building.remove_abandoned(tmp_path)
    building.remove_abandoned(tmp_path / "nowhere")
    assert (tmp_path / ".making-ba9876543210" / "mine.txt").exists()


BUILD = """
import sys, time
from pathlib import Path
from trainctl.store.building import building
with building(Path(sys.argv[1])) as place:
    (place / "run").mkdir(parents=True)
    (place / "run" / "config.yaml").write_text("seed: 0")
    print(place, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return another process that is building a run; it waits until it is told to go on."""
    words = [sys.executable, "-c", BUILD, str(tmp_path)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def place_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout
    return Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_never_listed_and_the_next_one_removes_it(
    tmp_path: Path, builder: subprocess.Popen[str]
) -> None:
    place = place_of(builder)
    assert list(rundir.all_runs(tmp_path)) == []
    building.remove_abandoned(tmp_path)
    assert (place / "run" / "config.yaml").exists()  # its process is building
    builder.kill()
    builder.wait()
    assert place.exists()
    assert list(rundir.all_runs(tmp_path)) == []
    with building.building(tmp_path) as other:
        assert not place.exists()
        other.mkdir()
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_the_same_number_is_known_by_its_start(tmp_path: Path) -> None:
    with building.building(tmp_path) as mine:
        mine.mkdir()
        pid, where, when, rest = mine.name.removeprefix(".making-").split("-")
        assert int(pid) == os.getpid()
        earlier, elsewhere = (
            tmp_path / f".making-{pid}-{where}-{'0' * 8}-{rest}",
            tmp_path / f".making-{pid}-{'0' * 8}-{'0' * 8}-{rest}",
        )
        no_number = tmp_path / f".making-{pid}-{where}-{when}-{rest}x"
        for path in (earlier, elsewhere, no_number):
            path.mkdir()
        building.remove_abandoned(tmp_path)
        assert set(tmp_path.iterdir()) == {mine, elsewhere, no_number}


def test_no_link_of_such_a_name_is_followed(tmp_path: Path) -> None:
    victim = aged(tmp_path / "victim")
    link = tmp_path / f".making-1-{building._where()}-{'0' * 8}-0123456789ab"
    link.symlink_to(victim)
    building.remove_abandoned(tmp_path)
    assert link.is_symlink()
    assert (victim / "mine.txt").exists()
