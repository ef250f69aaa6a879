"""A sweep whose journal is in a database: machines with directories of their own share it like one directory."""

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Server
from trainctl.store.database import Database
from trainctl.store.journal_database import DatabaseJournal
from trainctl.store.runpath import hold
from trainctl.sweep import trial_directories

TINY = (
    "-m",
    "dataset=iris",
    "model=mlp",
    "model.hidden=[5]",
    "loop.batch_size=40",
    "output.plots=false",
    "sweep.threads=1",
)
pytestmark = pytest.mark.slow


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Path, Path]:
    """Return two directories that stand for two machines."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    return tmp_path / "here", tmp_path / "there"


def rows(home: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a sweep's results by their learning rate."""
    with (home / "results.csv").open() as file:
        return {row["optimizer.lr"]: row for row in csv.DictReader(file)}


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def signalled(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def events(server: Server, url: str) -> list[dict[str, Any]]:
    """Return all events of a database in their order."""
    query = "SELECT value_json FROM trial_user_attributes ORDER BY trial_id"
    return [json.loads(str(row[0])) for row in server.execute(query, url.rpartition("/")[2])]


def claims(url: str, name: str) -> dict[str, int]:
    """Return the newest segment of each trial."""
    connected = Database(url, 60)
    connected.open(name)
    found = DatabaseJournal(connected, "", "").claims()
    connected.close()
    return found


@pytest.mark.slow
def test_machines_that_share_no_directory_share_the_trials_and_the_table(
    server: Server, url: str, machines: tuple[Path, Path], start: Callable[..., Any], command: Callable[..., Any]
) -> None:
    here, there = machines
    words = (
        *TINY,
        "optimizer.lr=0.01,0.02,0.03,0.04,0.05,0.06",
        "loop.epochs=30",
        "sweep.workers=1",
        "sweep.name=both",
    )
    alone = command(*words, cwd=here.parent)
    assert alone.returncode == 0, alone.stderr
    processes = [start(*words, f"sweep.storage={url}", cwd=place) for place in machines]
    ended = [process.communicate(240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    tables = [rows(place / "runs" / "both") for place in machines]
    expected = rows(here.parent / "runs" / "both")
    for table in tables:
        assert {lr: row["value"] for lr, row in table.items()} == {lr: row["value"] for lr, row in expected.items()}
        assert {row["status"] for row in table.values()} == {"finished"}
    for table, place, other in ((tables[0], here, there), (tables[1], there, here)):
        for row in table.values():  # a directory is on the machine that the row names
            home = Path(row["place"].partition(":")[2]) if row["place"] else place / "runs" / "both"
            assert home == (other if row["place"] else place) / "runs" / "both"
            assert (home / row["directory"] / "summary.json").exists()
    assert claims(url, "both") == dict.fromkeys("012345", 0)
    ends = [event["trial"] for event in events(server, url) if event["event"] == "end"]
    assert sorted(ends) == list("012345")  # each was trained once
    curves = [event["curve"] for event in events(server, url) if event["event"] == "end"]
    assert [[epoch for epoch, _ in curve] for curve in curves] == [list(range(1, 31))] * 6

    # The same command, with more values, grows it; a copy of the command elsewhere shows the same table.
    grown = command(*words[:7], "optimizer.lr=0.01,0.02,0.07", *words[8:], f"sweep.storage={url}", cwd=here)
    assert grown.returncode == 0, grown.stderr
    assert len(rows(here / "runs" / "both")) == 7
    again = command("resume", "runs/both", f"sweep.storage={url}", cwd=there)
    assert again.returncode == 0, again.stderr
    assert rows(there / "runs" / "both")["0.07"]["place"].endswith(":" + str(here / "runs" / "both"))
    assert not (there / "runs" / "both" / "plots").exists()  # output.plots=false


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_the_trials_of_a_lost_machine_start_again(
    server: Server, url: str, machines: tuple[Path, Path], start: Callable[..., Any], how: str
) -> None:
    here, there = machines
    words = (*TINY, "optimizer.lr=0.01,0.02", "loop.epochs=200", "sweep.workers=1", "sweep.lease=5s", "sweep.name=lost")
    lost = start(*words, f"sweep.storage={url}", cwd=here)
    wait_until(lambda: list(here.glob("runs/lost/0-*/checkpoints/step-*.json")))
    pids = family(lost.pid)
    other = start(*words, f"sweep.storage={url}", cwd=there)
    if how == "killed":
        signalled(pids, signal.SIGKILL)
    else:  # like a machine that hangs: it is alive and silent
        signalled(pids, signal.SIGSTOP)
    wait_until(lambda: list(there.glob("runs/lost/0-*/checkpoints/step-*.json")))
    if how == "stopped":
        signalled(pids, signal.SIGCONT)
    out, err = other.communicate(240)
    assert other.returncode == 0, out + err
    said, _ = lost.communicate(240)
    table = rows(there / "runs" / "lost")
    assert {row["status"] for row in table.values()} == {"finished"}
    assert not table["0.01"].get("place")
    assert claims(url, "lost")["0"] == 1
    if how == "stopped":
        assert lost.returncode == 0
        assert "given up  point 0" in said
        ends = [(event["trial"], event["segment"]) for event in events(server, url) if event["event"] == "end"]
        assert sorted(ends) == [("0", 1), ("1", 0)]
        assert rows(here / "runs" / "lost")["0.01"]["place"].endswith(str(there / "runs" / "lost"))


@pytest.mark.slow
def test_a_database_that_is_away_for_a_while_costs_no_trial(
    server: Server, url: str, machines: tuple[Path, Path], start: Callable[..., Any]
) -> None:
    words = (
        *TINY,
        "optimizer.lr=0.01,0.02",
        "loop.max_time=24s",
        "sweep.workers=1",
        "sweep.lease=5s",
        "sweep.name=away",
    )
    processes = [start(*words, f"sweep.storage={url}", cwd=place) for place in machines]
    wait_until(lambda: all(list(place.glob("runs/away/*/checkpoints/step-*.json")) for place in machines))
    server.stop("immediate")
    time.sleep(7)  # longer than the lease
    server.start()
    for process in processes:
        out, err = process.communicate(240)
        assert process.returncode == 0, out + err
        assert "cannot reach the database postgresql://trainer@127.0.0.1" in out
        assert "is back after" in out
    assert claims(url, "away") == {"0": 0, "1": 0}  # nobody took anybody for dead


@pytest.mark.slow
def test_ctrl_c_while_the_database_is_away_saves_the_trials(
    server: Server, url: str, tmp_path: Path, start: Callable[..., Any], command: Callable[..., Any]
) -> None:
    words = (*TINY, "optimizer.lr=0.01", "loop.max_time=12s", "sweep.workers=1", "sweep.name=gone")
    process = start(*words, f"sweep.storage={url}")
    wait_until(lambda: list(tmp_path.glob("runs/gone/0-*/checkpoints/step-*.json")))
    server.stop("immediate")
    try:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(60)
        assert process.returncode == 130, out + err
        assert "continue it with: trainctl resume runs/gone" in err
        # A signal in the last moment of a trial may leave its lock behind, but nobody who holds it.
        wait_until(lambda: all(trial_directories.is_free(hold(each)) for each in tmp_path.glob("runs/gone/0-*")))
        failed = command("resume", "runs/gone", f"sweep.storage={url}")
        assert failed.returncode == 5
        assert "cannot connect" in failed.stderr
    finally:
        server.start()
    begun = json.loads((tmp_path / "runs" / "gone" / "0-run" / "run.json").read_text())["created"]
    resumed = command("resume", "runs/gone", f"sweep.storage={url}")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    # Continued, not begun again: the database knows nothing of its steps, the directory does.
    assert json.loads((tmp_path / "runs" / "gone" / "0-run" / "run.json").read_text())["created"] == begun
    assert "finished" in (tmp_path / "runs" / "gone" / "results.csv").read_text()
