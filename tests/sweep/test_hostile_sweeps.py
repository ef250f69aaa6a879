"""The directory of a sweep is not trusted: its files are checked, and no link in it is followed."""

import json
import os
import random
import shutil
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.soak import cases, seed
from trainctl.errors import CheckpointError, ConfigError, StorageError, TrainctlError
from trainctl.settings.sweep import load
from trainctl.store import files, journal, runpath
from trainctl.sweep import opening, trial_directories
from trainctl.sweep.live import Watcher
from trainctl.sweep.pool import Pool
from trainctl.sweep.trial import Trial

ODD: list[Any] = [
    None, True, -1, 0, 3, 1.5, 1e400, "", "x", "seed=1", "optimizer.lr=-1", "components=[os]", [], ["x"], [1], {}, {"a": 1},
    "9" * 30, 10**30, {"point": [1]}, {"confirm": ["seed=1"], "of": 99}, {"confirm": [], "of": "x"}, {"repeat": []},
]  # fmt: skip
CLAIMS = [
    "0.0", "0.1", "0.2", "0.999999999", "0.-1", "0.007", "0.\u0661", ".0", "0", "1.9", "7.0", "x" * 250 + ".0", "\x1b[31m.0", "a\nb.1",
]  # fmt: skip
EVENTS: list[Any] = [
    {"event": "end", "trial": "0", "segment": 0, "status": "finished", "value": 0.5},
    {"event": "rung", "trial": "0", "segment": 0, "rung": 1, "value": 0.5},
    {"event": "again", "trials": {"0": 0}},
    {"event": "hello", "identity": "a b c"},
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a sweep of two points, none of which has begun."""
    return opening.begin(
        ["dataset=iris", "optimizer.lr=0.1,0.2", "sweep.prune=asha", "sweep.name=mine"]
    ).home.absolute()


def mutated(content: Any, source: random.Random) -> Any:
    """Replace, remove or add a value at a random depth."""
    if isinstance(content, dict | list) and content and source.random() < 0.8:
        key = source.choice(list(content) if isinstance(content, dict) else range(len(content)))
        changed: Any = content.copy()
        if source.random() < 0.2:
            del changed[key]
        else:
            changed[key] = mutated(content[key], source)
        return changed
    return source.choice(ODD)


def look(home: Path) -> None:
    """Do what a resumed sweep does before its first trial."""
    opened = opening.reopen(home)
    for key in opened.ledger.trials:
        for rung in (1, 3, 9):
            opened.policy.at_rung(opened.ledger, key, rung)
    if task := opened.policy.next_task(opened.ledger) or opened.policy.last_task(opened.ledger):
        opened.config(opened.ledger.trials[task.key])
    with closing(opened.journal.writer()) as writer:
        for key in opened.ledger.trials:
            segment = opened.ledger.segments.get(key, -1) + 1
            opened.journal.claim(key, segment, writer)
            opened.ledger.update()
            assert opened.ledger.segments[key] >= segment  # else the pool would claim it for ever


def open_with_its_log(home: Path) -> None:
    os.close(files.open_to_append(opening.reopen(home).held / "logs" / "workers.log"))


@pytest.mark.soak
def test_no_content_of_a_sweeps_files_ends_in_a_traceback(home: Path, tmp_path: Path) -> None:
    source, refused = seed("sweeps"), 0
    record, points = (json.loads((home / name).read_text()) for name in ("sweep.json", "lists/000000.json"))
    for number in range(cases(40)):
        copy = tmp_path / "copies" / str(number)
        shutil.copytree(home, copy)
        kind = source.randrange(4)
        if kind == 0:
            (copy / "sweep.json").write_text(json.dumps(mutated(record, source)))
        elif kind == 1:
            (copy / "lists" / "000000.json").write_text(json.dumps(mutated(points, source)))
        elif kind == 2:
            for name in source.sample(CLAIMS, 7):
                (copy / "claims" / name).write_bytes(source.choice((b"", b"someone", b"../x", b"\xff\0", b"9" * 5000)))
        else:
            (copy / "claims" / "0.0").write_text("someone")
            lines = [json.dumps(mutated(event, source)) for event in EVENTS]
            (copy / "journal" / "host-1-ab.jsonl").write_text("\n".join(lines) + "\n")
        try:
            look(copy)
        except TrainctlError:
            refused += 1
        shutil.rmtree(copy)
    assert 0 < refused < cases(40)


@pytest.mark.parametrize(
    "entry",
    [{"confirm": ["seed=1"], "of": 99}, {"repeat": ["seed="]}, {"repeat": ["optimizer.lr=1"]}, {"point": "x"}, 3],
)
def test_a_list_of_points_that_cannot_be_is_named(home: Path, entry: object) -> None:
    (home / "lists" / "000001.json").write_text(json.dumps([entry]))
    with pytest.raises(CheckpointError, match="lists: a list of points is damaged"):
        opening.reopen(home)


def test_a_claim_after_a_gap_or_in_other_digits_is_not_ours(home: Path) -> None:
    for name in ("0.0", "0.999999999", "0.\u0661", "1.1", "1.007", ".0", "2"):
        (home / "claims" / name).write_text("someone")
    opened = opening.reopen(home)
    assert opened.ledger.segments == {"0": 0}
    with closing(opened.journal.writer()) as writer:
        for key, segment in (("0", 1), ("1", 0)):  # else the sweep would claim what it cannot see, for ever
            assert opened.journal.claim(key, segment, writer)
            opened.ledger.update()
            assert opened.ledger.segments[key] >= segment


def test_a_claim_that_fails_and_cannot_be_seen_is_not_tried_again_at_once(home: Path) -> None:
    opened = opening.reopen(home)
    opened.journal.claim = lambda *arguments: False  # type: ignore[method-assign]  # as another machine's cache has it
    pool = Pool(opened, Watcher(), lambda: False, lambda: False)
    pool._assign()
    assert not pool.crew.busy
    pool.writer.close()


@pytest.mark.parametrize("key", ["lease", "max_time", "trial_timeout"])
@pytest.mark.parametrize("time", ["10001d", f"{10**400}s"])
def test_a_time_that_no_clock_can_wait_is_refused(key: str, time: str) -> None:
    with pytest.raises(ConfigError, match=f"sweep.{key}=.*: expected at most 10000d"):
        load([f"sweep.{key}={time}"])
    assert load([f"sweep.{key}=10000d"])


@pytest.mark.parametrize("name", ["journal", "lists", "claims", "logs", "sweep.json", "lists/000000.json"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_or_directory_of_its_own_is_refused_or_left_alone(
    home: Path, tmp_path: Path, name: str, kind: str
) -> None:
    original = tmp_path / "original"
    (home / name).rename(original)
    os.mkfifo(home / name) if kind == "pipe" else (home / name).symlink_to(original)
    before = sorted(original.rglob("*"))
    with pytest.raises(TrainctlError):
        open_with_its_log(home)
    assert sorted(original.rglob("*")) == before


def test_a_log_and_a_trial_that_are_links_lead_nowhere(home: Path, tmp_path: Path) -> None:
    held = runpath.hold(home)
    (tmp_path / "secret").write_text("mine")
    (home / "logs" / "0.log").symlink_to(tmp_path / "secret")
    with pytest.raises(StorageError):
        files.open_to_append(held / "logs" / "0.log")
    (home / "trial").symlink_to(tmp_path)
    with pytest.raises(CheckpointError, match="is a link, not a directory"):
        trial_directories.check(held / "trial")
    with pytest.raises(CheckpointError):
        runpath.enter(held / "trial")
    assert (tmp_path / "secret").read_text() == "mine"


def test_a_sweep_that_was_killed_before_its_points_were_listed_gets_them_when_it_is_resumed(home: Path) -> None:
    (home / "lists" / "000000.json").unlink()
    assert [trial.words for trial in opening.reopen(home).ledger.trials.values()] == [
        ("optimizer.lr=0.1",), ("optimizer.lr=0.2",)
    ]  # fmt: skip


def test_components_of_a_sweep_are_named_again(tmp_path: Path, home: Path) -> None:
    record = json.loads((home / "sweep.json").read_text())
    (home / "sweep.json").write_text(json.dumps(record | {"words": [*record["words"], "+components=[evil]"]}))
    with pytest.raises(TrainctlError, match="name the packages of your components again"):
        opening.reopen(home)


def test_a_taken_over_run_leaves_links_and_the_old_directory_behind(home: Path, tmp_path: Path) -> None:
    held = runpath.hold(home)
    (home / "0-x" / "checkpoints").mkdir(parents=True)
    (home / "0-x" / "checkpoints" / "last.safetensors").write_bytes(b"weights")
    (home / "0-x" / "log.txt").symlink_to("/etc/passwd")
    trial_directories.take_over(held / "0-x", 1)
    assert (home / "0-x" / "checkpoints" / "last.safetensors").read_bytes() == b"weights"
    assert (home / "0-x" / "log.txt").is_symlink()  # not a copy of what it leads to
    assert (home / "lost" / "0-x.1" / "checkpoints").is_dir()
    assert journal.FOLDERS == ("journal", "lists", "claims", "logs")


@pytest.mark.slow
def test_a_directory_that_is_no_sweep_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"exists, and is not a sweep; remove it, or give another sweep\.name"):
        opening.begin(["dataset=iris", "seed=0,1", "sweep.name=mine"])
    assert [path.name for path in (tmp_path / "runs" / "mine").iterdir()] == ["notes.txt"]


def test_a_sweep_that_another_process_begins_in_the_same_moment_is_joined(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(opening, "_is_begun", lambda path: next(answers))
    joined = opening.begin(["dataset=iris", "optimizer.lr=0.1,0.2", "sweep.prune=asha", "sweep.name=mine"])
    assert joined.home.absolute() == home
    assert len(joined.ledger.trials) == 2


EVIL = {
    "a word": lambda record: {"words": [*record["words"], "components=[evil]"]},
    "a word that adds": lambda record: {"words": [*record["words"], "++components=[evil]"]},
    "a recipe": lambda record: {"words": [*record["words"], "recipe=evil"]},
    "a component": lambda record: {"words": [*record["words"], "components=[evil]", "metric=[canary]"]},
}


@pytest.mark.parametrize("route", EVIL)
def test_a_sweep_imports_no_package_that_is_not_named_again_however_it_is_set(
    home: Path, tmp_path: Path, route: str
) -> None:
    package = tmp_path / "evil" / "metric"
    package.mkdir(parents=True)
    for path in (tmp_path / "evil" / "__init__.py", package / "__init__.py", package / "canary.py"):
        path.write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\n\ndef canary():\n    return None\n")
    for group, text in (("recipe/evil", "components: [evil]\n"), ("metric/canary", "name: canary\n")):
        path = tmp_path / "archive" / f"{group}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"# @package _global_\n{text}" if group.startswith("recipe") else text)
    record = json.loads((home / "sweep.json").read_text())
    hostile = record | {"config_dir": [str(tmp_path / "archive")]} | EVIL[route](record)
    (home / "sweep.json").write_text(json.dumps(hostile))
    with pytest.raises(ConfigError, match=r"name the packages of your components again, with components=\[evil\]"):
        opening.reopen(home)
    assert not (tmp_path / "canary").exists()


def test_a_point_names_no_packages(home: Path, tmp_path: Path) -> None:
    (tmp_path / "evil" / "metric").mkdir(parents=True)
    (home / "lists" / "000001.json").write_text(json.dumps([{"point": ["optimizer.lr=0.3", "components=[evil]"]}]))
    opened = opening.reopen(home)
    with pytest.raises(CheckpointError, match="point 2 names other packages of components"):
        opened.config(next(trial for trial in opened.ledger.trials.values() if trial.point == 2))


def test_a_sweep_contacts_no_database_that_is_not_named_again(home: Path) -> None:
    url = "postgresql://me@127.0.0.1:1/x?sslmode=require&connect_timeout=3"
    record = json.loads((home / "sweep.json").read_text())
    (home / "sweep.json").write_text(
        json.dumps(record | {"storage": url, "words": [*record["words"], f"sweep.storage={url}"]})
    )
    with pytest.raises(CheckpointError, match=r"its journal is in a database; give 'sweep\.storage=postgresql:"):
        opening.reopen(home)


def test_lines_that_a_shell_executes_are_named_again(home: Path) -> None:
    record = json.loads((home / "sweep.json").read_text())
    own = ["sweep.slurm=2", "sweep.slurm_setup=[touch canary]", "sweep.slurm_options=[--wrap=touch canary]"]
    (home / "sweep.json").write_text(json.dumps(record | {"words": [*record["words"], *own]}))
    with pytest.raises(
        ConfigError,
        match=r"its jobs execute only what you name; repeat or change: 'sweep.slurm_setup=\[touch canary\]'",
    ):
        opening.reopen(home, ["sweep.slurm=2"])
    assert opening.reopen(home, ["sweep.slurm=2", own[1], "sweep.slurm_options=[]"]).settings.slurm_options == []
    assert opening.reopen(home).settings.slurm_setup == []  # a process that joins executes none of them


@pytest.mark.parametrize("name", ["0-x", "0-x/checkpoints", "0-x/checkpoints/last.safetensors"])
def test_checkpoints_behind_a_link_are_not_removed(home: Path, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim" / "checkpoints"
    victim.mkdir(parents=True)
    (victim / "last.safetensors").write_bytes(b"mine")
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).symlink_to(tmp_path / Path("victim", *Path(name).parts[1:]))
    trial = Trial(0, ("x",), (), home / "0-x")
    trial_directories.drop_checkpoints(runpath.hold(home), [trial])
    with suppress(CheckpointError):
        trial_directories.prepare(runpath.hold(home) / "0-x")
    assert (victim / "last.safetensors").read_bytes() == b"mine"
    assert os.path.lexists(home / name) or name != "0-x"
