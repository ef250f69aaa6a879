"""Where runs live: unique, whole, and found again."""

import os
from pathlib import Path

import pytest

from tests.faults import FailingDisk, replace_os
from trainctl.errors import CheckpointError, ConfigError, StorageError
from trainctl.settings import compose
from trainctl.store import configuration, rundir


def make_run(root: Path, name: str) -> Path:
    path = root / name
    path.mkdir(parents=True)
    (path / "config.yaml").write_text("seed: 0\n")
    return path


def test_two_runs_in_the_same_second_get_directories_of_their_own(tmp_path: Path) -> None:
    made = {rundir.create(tmp_path / "runs", "digits-mlp") for _ in range(20)}
    assert len(made) == 20
    assert (tmp_path / "runs" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("label", ["a/b", "../../x", "line\nbreak", "[red]x[/]", "é" * 300, "", "..", "x" * 400])
def test_no_label_leaves_the_root_or_makes_a_name_too_long(tmp_path: Path, label: str) -> None:
    made = rundir.create(tmp_path / "runs", label)
    assert made.resolve().parent == (tmp_path / "runs").resolve()
    assert made.name.isascii()
    assert len(made.name) < 100


@pytest.mark.parametrize("content", [None, "# of the user\n*\n!.gitignore\n"], ids=["ours", "the-users"])
def test_a_root_is_removed_with_its_only_run_unless_a_file_in_it_is_of_the_user(
    tmp_path: Path, content: str | None
) -> None:
    if content:
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / ".gitignore").write_text(content)
    rundir.remove(rundir.create(tmp_path / "runs", "x"))
    assert [path.name for path in tmp_path.rglob("*")] == (["runs", ".gitignore"] if content else [])


def test_a_damaged_byte_spoils_one_line_of_the_metrics(tmp_path: Path) -> None:
    lines = [rundir.line({"step": step}).encode() for step in range(4)]
    (tmp_path / "metrics.jsonl").write_bytes(lines[0] + b"\xff" + lines[1] + b"".join(lines[2:]) + b'{"step": 4')
    assert [row["step"] for row in rundir.read_metrics(tmp_path)] == [0, 2, 3]


def test_a_root_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="runs"):
        rundir.create(tmp_path / "runs", "x")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    rundir.write(path, "old")
    replace_os(monkeypatch, FailingDisk(1, persistent=False, only=("replace",)))
    with pytest.raises(StorageError):
        rundir.write(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["summary.json"]


def test_a_root_below_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot create directory"):
        rundir.create(tmp_path / "file" / "runs", "x")


def test_a_run_is_found_by_path_name_part_and_as_the_newest(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    old, new = make_run(root, "20260101-000000-iris-mlp"), make_run(root, "20260102-000000-wine-mlp")
    os.utime(old / "config.yaml", (1, 1))

    assert rundir.find(str(old), root) == old
    assert rundir.find(old.name, root) == old
    assert rundir.find("wine", root) == new
    assert rundir.find(None, root) == new


def test_a_whole_name_wins_over_a_part_of_another(tmp_path: Path) -> None:
    exact = make_run(tmp_path / "runs", "1-lr=0.1")
    make_run(tmp_path / "runs", "1-lr=0.10")
    assert rundir.find("1-lr=0.1", tmp_path / "runs") == exact


def test_a_part_that_fits_several_runs_is_an_error_that_names_them(tmp_path: Path) -> None:
    make_run(tmp_path, "a-mlp")
    make_run(tmp_path, "b-mlp")
    with pytest.raises(CheckpointError, match="matches 2 runs: a-mlp, b-mlp"):
        rundir.find("mlp", tmp_path)


def test_trials_of_a_sweep_are_runs_and_other_directories_are_not(tmp_path: Path) -> None:
    single, trial = make_run(tmp_path, "a"), make_run(tmp_path / "b-sweep", "0-x")
    (tmp_path / "b-sweep" / "sweep.json").write_text("{}")
    make_run(tmp_path / "other", "not-a-trial")
    assert list(rundir.all_runs(tmp_path)) == [single, trial]


@pytest.mark.parametrize(
    "content", [b"a: [1", b"\xff\xfe\x00", b"- 1\n", b"", b"a: 2024-99-99\n", b"a: {1: 2}\n", b"null: 2\n"]
)
def test_a_damaged_configuration_is_a_checkpoint_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        rundir.read_config(tmp_path)


def test_metrics_are_read_up_to_a_step_and_torn_lines_passed_over(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    assert [row["step"] for row in rundir.read_metrics(tmp_path, 2)] == [1, 2]


def test_what_a_run_wrote_loads_no_code(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "config.yaml").write_text(
        f"x: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{canary}']]\n"
    )
    with pytest.raises(CheckpointError):
        rundir.read_config(tmp_path)
    assert not canary.exists()


def test_a_sweep_and_a_copy_of_a_parent_are_named_as_what_they_are(tmp_path: Path) -> None:
    make_run(tmp_path / "b-sweep", "0-x")
    make_run(tmp_path / "b-sweep", "1-x")
    (tmp_path / "b-sweep" / "sweep.json").write_text("{}")
    with pytest.raises(
        CheckpointError, match="b-sweep: is a sweep, not a run; choose one of its trials: b-sweep/0-x, "
    ):
        rundir.find("b-sweep", tmp_path)
    with pytest.raises(CheckpointError, match="x: matches 2 runs: b-sweep/0-x, b-sweep/1-x"):
        rundir.find("x", tmp_path)
    parent = make_run(tmp_path / "run" / "parents", "0")
    (parent / "parent.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is the copy that a run keeps of one that it was made from"):
        rundir.find(str(parent), tmp_path)


@pytest.mark.parametrize("name", ["x", "a/b/c"])
def test_nothing_but_its_trials_is_created_inside_a_sweep_with_which_it_would_be_removed(
    tmp_path: Path, name: str
) -> None:
    sweep = tmp_path / "runs" / "s"
    (sweep / "journal").mkdir(parents=True)
    (tmp_path / "sweep.json").touch()  # of another tool
    rundir.make(sweep / name) if name == "x" else rundir.create(sweep.parent, "r")
    (sweep / "sweep.json").touch()
    with pytest.raises(ConfigError, match=r"would be inside the sweep .*/s, and be removed with it; give another"):
        rundir.make(sweep / "other" / name)
    with pytest.raises(ConfigError, match="would be inside the sweep"):
        rundir.create(sweep, "r")
    assert not (sweep / "other").exists()
    rundir.make(sweep / "0-trial", trial=True)


@pytest.mark.parametrize("name", ["x", "parents", "checkpoints/x", "a/b/c"])
def test_no_run_is_created_inside_another_one_but_beside_any_other_config_yaml(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "runs", "r")
    with pytest.raises(ConfigError, match="would be inside the run"):
        rundir.make(run / name) if (run / "run.json").touch() is None else None
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "run.json"]
    (tmp_path / "config.yaml").touch()  # of a Hydra project
    rundir.make(tmp_path / name)
    assert (tmp_path / name).is_dir()


def test_a_root_below_no_home_directory_is_refused() -> None:
    for root in ("~nosuchuser", "~nosuchuser/x"):
        with pytest.raises(ConfigError, match="there is no such home directory"):
            rundir.root_of(root)
    assert rundir.root_of("./~x") == Path("~x")


def test_each_thing_that_is_wrong_in_a_configuration_has_a_line(tmp_path: Path) -> None:
    tree = compose.compose(["dataset=iris"]).tree
    tree = tree | {"seed": -1, "threads": 0, "precision": "a\nb"}
    rundir.write_config(make_run(tmp_path, "r"), tree, [])
    with pytest.raises(CheckpointError) as caught:
        configuration.read(tmp_path / "r", [])
    lines = str(caught.value).split("\n")
    assert len(lines) == 3
    assert all(line.startswith(f"{tmp_path / 'r' / 'config.yaml'}: ") for line in lines)
    assert "a\\nb" in str(caught.value)
