"""What is damaged, foreign, older or newer is refused or understood, with what differs; never a fresh start."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml

from trainctl import cli
from trainctl.errors import CheckpointError
from trainctl.run import assemble
from trainctl.settings import compose, config, existing, validation
from trainctl.settings.code_digest import own_code
from trainctl.store import restore, rundir
from trainctl.store.configuration import read_tree
from trainctl.store.manifest import FORMAT, Manifest, checksum
from trainctl.store.tensors import write as write_tensors
from trainctl.train import session

# What a manifest of an earlier version may lack.
REQUIRED = {"step", "state", "data", "optimizer", "scaler", "last"}
OPTIONAL = [field.name for field in fields(Manifest) if field.name not in {*REQUIRED, "best", "format"}]
FORMATS = sorted((Path(__file__).parent / "formats").iterdir())
TINY = (
    "dataset=iris", "model=linear", "loop.batch_size=40", "loop.epochs=2", "output.plots=false", "threads=1", "optimizer=adam",
    "checkpoint.every_seconds=0",
)  # fmt: skip
Say = Callable[..., tuple[int, str, str]]


def settings(*overrides: str) -> config.Config:
    return compose.compose([*TINY, *overrides])


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs a command line in this process."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["trainctl", *map(str, arguments)])
        capsys.readouterr()
        code = cli.main()
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("kept") / "run"
    session.begin(settings(), list(TINY), directory)
    return directory


@pytest.fixture
def run(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept, tmp_path / "run")


def newest(directory: Path, kind: str) -> Path:
    return max((directory / "checkpoints").glob(f"{kind}-*"))


def rewrite(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change every manifest, with a checksum that is right."""
    for path in (directory / "checkpoints").glob("step-*.json"):
        manifest = json.loads(path.read_text())
        change(manifest)
        manifest["sha256"] = checksum(manifest)
        path.write_text(json.dumps(manifest))


def retensor(directory: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of every last payload, with checksums that are right."""

    def manifest(content: dict[str, Any]) -> None:
        path = directory / "checkpoints" / content["last"]["file"]
        tensors = safetensors.torch.load(path.read_bytes())
        change(tensors)
        path.unlink()
        content["last"] = asdict(write_tensors(path, tensors))

    rewrite(directory, manifest)


@pytest.mark.parametrize("kind", ["step", "last", "best"])
def test_every_flipped_bit_is_found_or_changes_nothing(run: Path, kind: str) -> None:
    path, sound = newest(run, kind), restore.newest(run).manifest
    content = path.read_bytes()
    offsets = sorted(
        {*range(0, min(200, len(content)), 3), *range(0, len(content), max(1, len(content) // 150)), len(content) - 1}
    )
    for number, offset in enumerate(offsets):
        flipped = bytearray(content)
        flipped[offset] ^= 1 << number % 8
        path.write_bytes(flipped)
        if kind == "best":  # both checkpoints name the same best weights, or the one before has its own
            try:
                assert restore.newest(run).manifest.step < 6, offset
            except CheckpointError as error:
                assert "damaged" in str(error)  # noqa: PT017 - one of two outcomes
            continue
        found = restore.newest(run)
        # A digit that no double keeps, or 1E-5 for 1e-5, changes nothing.
        assert found.manifest.step == 3 or found.manifest == sound, offset


@pytest.mark.parametrize("kind", ["step", "last"])
@pytest.mark.parametrize("tenths", range(10))
def test_a_truncated_file_is_found_and_the_checkpoint_before_is_taken(run: Path, kind: str, tenths: int) -> None:
    path = newest(run, kind)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * tenths // 10])

    older = restore.newest(run)

    assert older.manifest.step == 3
    assert path.name in older.skipped[0]
    assert "damaged" in older.skipped[0]


def test_where_the_best_weights_of_all_are_damaged_the_run_goes_on_and_chooses_anew(run: Path, say: Say) -> None:
    step = restore.newest(run).manifest.step
    for path in (run / "checkpoints").glob("best-*.safetensors"):
        path.write_bytes(b"damaged")

    found = restore.newest(run)

    assert (found.manifest.step, found.manifest.best, found.manifest.state["best"]) == (step, None, None)
    assert "from now on" in found.skipped[-1]
    with pytest.raises(CheckpointError, match="damaged"):
        restore.newest(run, ["best"])
    (run / "summary.json").unlink()
    code, _, err = say("resume", run)
    assert (code, "no training steps remain to determine new ones" in err) == (4, True)
    code, out, _ = say("resume", run, "loop.epochs=3")
    assert (code, "from now on" in out) == (0, True)
    assert restore.newest(run).manifest.best


FOREIGN = {
    "zero-bytes": (b"", "an empty file"),
    "zeros": (bytes(500), "only NUL bytes"),
    "web-page": (b"<!DOCTYPE html><html>404</html>", "a web page"),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(90), "an image"),
    "torch-save": (b"PK\x03\x04archive/data.pkl", "a zip archive, as torch.save writes"),
    "pickle": (b"\x80\x04\x95", "a pickle"),
    "garbage": (bytes(range(1, 256)) * 9, "damaged"),
    "brackets": (b"[" * 100_000, "damaged"),
    "digits": (b"1" * 10_000, "damaged"),
    "other-json": (b'{"epoch": 3}', "damaged"),
}


@pytest.mark.parametrize(("content", "message"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_something_else_is_never_loaded_and_never_a_fresh_start(
    run: Path, say: Say, content: bytes, message: str
) -> None:
    for kind in ("step", "last"):
        for path in (run / "checkpoints").glob(f"{kind}-*"):
            path.write_bytes(content)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    code, out, err = say("resume", run, "loop.epochs=5")

    assert code == 4
    assert out == ""
    assert "has no checkpoint to continue from" in err
    assert message in err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("damage", ["step", "last"])
def test_a_resumed_run_says_what_it_passed_over(run: Path, say: Say, damage: str) -> None:
    newest(run, damage).write_bytes(b"<html>")

    code, out, _ = say("resume", run, "loop.epochs=3")

    assert code == 0
    assert "skipped" in out
    assert "a web page" in out
    assert [row["step"] for row in rundir.read_metrics(run) if "lr" in row] == [3, 6, 9]


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_resumed_run_says_which_evaluations_are_lost(run: Path, say: Say, lines: int) -> None:
    path = run / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[2 - lines :]))

    code, out, _ = say("resume", run, "loop.epochs=3")

    assert code == 0
    steps = {0: "evaluations, at steps 3, 6", 1: "evaluation, at step 3", 2: ""}
    assert ("metrics.jsonl is damaged: " in out) is (lines < 2)
    assert lines == 2 or f"{2 - lines} {steps[lines]}\n" in out


def test_code_of_ones_own_that_has_changed_is_told(tmp_path: Path, say: Say) -> None:
    # No other test's package: one that was imported in this process would be found instead.
    (tmp_path / "edited" / "model").mkdir(parents=True)
    (tmp_path / "edited" / "model" / "own.py").write_text("")
    code, out, err = say(*TINY, "components=[edited]", "output.root=runs", "loop.stop_at_step=1")
    (directory,) = rundir.all_runs(Path("runs"))
    assert code == 130
    assert f"trainctl resume runs/{directory.name} 'components=[edited]'\n" in err
    assert out.count(f"{directory.name} 'components=[edited]'\n") == 2

    _, out, _ = say("resume", directory, "components=[edited]", "loop.stop_at_step=2")
    assert "the code of your components" not in out
    (tmp_path / "edited" / "model" / "own.py").write_text("RATE = 2\n")
    own_code.cache_clear()  # as another process would find it
    code, out, _ = say("resume", directory, "components=[edited]")
    assert code == 0
    assert "the code of your components was " in out


def test_a_path_that_is_no_run_is_told_what_it_looks_like(run: Path, say: Say, tmp_path: Path) -> None:
    (tmp_path / "page.pt").write_bytes(b"<!DOCTYPE html>")
    (tmp_path / "empty").mkdir()
    (tmp_path / "swept").mkdir()
    (tmp_path / "swept" / "sweep.json").touch()
    for given, message in (
        ("page.pt", "not a run directory, but a web page"),
        ("empty", "not a run directory (it has no config.yaml)"),
        ("swept", "is a sweep, not a run; choose one of its trials"),
        ("missing", "no such run"),
        (newest(run, "step"), f"inside a run; give the run's directory: {run}"),
    ):
        for verb in ("resume", "evaluate", "verify", "reproduce"):
            code, _, err = say(verb, given)
            assert code == 4
            expected = "is not a sweep that can be continued" if (verb, given) == ("resume", "swept") else message
            assert expected in err
    assert {path.name for path in tmp_path.iterdir()} == {"page.pt", "empty", "swept", "run"}


def test_last_is_the_newest_run(run: Path, tmp_path: Path) -> None:
    assert rundir.find("last", tmp_path) == run
    run.rename(tmp_path / "elastic")
    assert rundir.find("last", tmp_path).name == "elastic"


OTHERS = [
    (("optimizer=sgd",), "optimizer.name=adam in the checkpoint, sgd in this run"),
    (("optimizer.lr=0.5",), "optimizer.lr=0.001 in the checkpoint, 0.5 in this run"),
    (("model=mlp",), "model.name=linear in the checkpoint, mlp in this run"),
    (("schedule=cosine",), "schedule.name=none in the checkpoint, cosine in this run"),
    (("seed=3",), "seed=0 in the checkpoint, 3 in this run"),
    (("precision=bf16",), "precision=fp32 in the checkpoint, bf16 in this run"),
    (("dataset=wine",), "dataset.name=iris in the checkpoint, wine in this run"),
]


@pytest.mark.parametrize(("words", "message"), OTHERS, ids=[words[0] for words, _ in OTHERS])
def test_a_checkpoint_of_another_run_is_refused_with_the_settings_that_differ(
    run: Path, say: Say, words: tuple[str, ...], message: str
) -> None:
    (run / "config.yaml").write_text(yaml.safe_dump(settings(*words).tree))

    code, _, err = say("resume", run, "loop.epochs=5")

    assert code == 4
    assert "belongs to another run" in err
    assert message in err


TABLE = "a,b,kind\n" + "".join(f"{row % 7},{row % 5},{'xyz'[row % 3]}\n" for row in range(60))
SWAPPED = "".join(f"{b},{a},{kind}\n" for a, b, kind in (line.split(",") for line in TABLE.splitlines()))
TABLES = {
    "values": (TABLE.replace("3,", "4,"), "values differ"),
    "rows": (TABLE + "1,2,x\n", "60 rows in the checkpoint, 61 in this run"),
    "columns-order": (SWAPPED, "the columns are in a different order: a, b in the checkpoint, b, a in this run"),
    "more-columns": (TABLE.replace("a,b,kind", "a,c,kind"), "different columns: +c; -b"),
    "more-classes": (TABLE + "1,2,w\n", "different classes: +w"),
}


@pytest.mark.parametrize(("text", "message"), TABLES.values(), ids=TABLES)
def test_other_data_are_refused_with_what_differs(tmp_path: Path, say: Say, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    table = ("dataset=csv", f"dataset.path={tmp_path / 't.csv'}", "dataset.target=kind")
    session.begin(settings(*table, "loop.stop_at_step=null"), [], tmp_path / "run")
    (tmp_path / "t.csv").write_text(text)

    code, _, err = say("resume", tmp_path / "run", "loop.epochs=9")

    assert code == 4
    assert "was created from different data" in err
    assert message in err


def test_the_order_of_classes_is_part_of_the_data(run: Path, say: Say) -> None:
    def turn(manifest: dict[str, Any]) -> None:
        manifest["data"]["class_names"].reverse()
        manifest["data"]["fingerprint"] = "0" * 64

    rewrite(run, turn)
    code, _, err = say("resume", run, "loop.epochs=9")
    assert code == 4
    assert "the classes are in a different order: virginica, versicolor, setosa in the checkpoint" in err


@pytest.mark.parametrize("name", ["model.layers.0.weight", "optimizer.0.exp_avg"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(run: Path, say: Say, name: str, value: float) -> None:
    def poison(tensors: dict[str, torch.Tensor]) -> None:
        key = (
            name
            if name in tensors
            else next(key for key in tensors if key.startswith(name.partition(".")[0]) and tensors[key].ndim == 2)
        )
        tensors[key][0, 0] = value

    retensor(run, poison)
    code, _, err = say("resume", run, "loop.epochs=9")
    if name.startswith("model") or value != value:
        assert code == 4
        assert "not finite" in err or "has NaN" in err
    if name.startswith("model"):
        assert say("evaluate", run, "which=last")[0] == 4


def test_a_finished_run_has_nothing_to_do(run: Path, say: Say) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    code, out, err = say("resume", run)

    assert code == 0
    assert "nothing to do" in out
    assert err == ""
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("stored", FORMATS, ids=lambda path: f"format-{path.name}")
def test_checkpoints_of_every_released_format_go_on(stored: Path, tmp_path: Path, say: Say) -> None:
    run = shutil.copytree(stored, tmp_path / "run")
    saved = restore.newest(run)
    assert saved.manifest.format == int(stored.name)
    assert saved.manifest.step == 7
    best = next(row for row in rundir.read_metrics(run) if row["step"] == 6)

    code, out, err = say("evaluate", run, "split=val", "format=json")
    assert (code, err) == (0, "")
    assert json.loads(out)["metrics"]["val/loss"] == pytest.approx(best["val/loss"])

    code, out, err = say("resume", run)
    assert (code, err) == (0, "")
    rows = rundir.read_metrics(run)
    assert [row["step"] for row in rows if "lr" in row] == [2, 4, 6, 8, 9]
    assert rows[-2]["val/loss"] < best["val/loss"]
    assert restore.newest(run).manifest.format == FORMAT


def test_every_format_is_stored() -> None:
    assert [path.name for path in FORMATS] == [str(number) for number in range(1, FORMAT + 1)]


def test_a_newer_format_is_refused_with_both_versions_and_not_passed_over(run: Path, say: Say) -> None:
    path = newest(run, "step")
    manifest = json.loads(path.read_text()) | {"format": FORMAT + 1}
    manifest["written_by"]["trainctl"] = "9.9"
    path.write_text(json.dumps(manifest | {"sha256": checksum(manifest)}))

    code, _, err = say("resume", run, "loop.epochs=9")

    assert code == 4
    assert f"has format {FORMAT + 1}, written by trainctl 9.9; this is trainctl {rundir.version()}" in err


def test_what_later_versions_added_may_be_missing(run: Path, say: Say) -> None:
    rewrite(run, lambda manifest: [manifest.pop(key, None) for key in OPTIONAL])
    assert say("resume", run, "loop.epochs=3")[0] == 0


def test_a_state_with_unknown_or_missing_numbers_is_refused(run: Path) -> None:
    fresh = assemble.assemble(settings())
    for change in (
        lambda state: state.update(mood=1),
        lambda state: state.pop("averaged"),
        lambda state: state["stopping"].update(x=1),
    ):
        damaged = shutil.copytree(run, run.with_name("damaged"))
        rewrite(damaged, lambda manifest, change=change: change(manifest["state"]))
        with pytest.raises(CheckpointError, match=r"state does not match|cannot read"):
            restore.restore(fresh, restore.newest(damaged))
        shutil.rmtree(damaged)


def test_a_run_whose_settings_have_an_older_name_is_resumed_and_verified(run: Path, say: Say) -> None:
    def older(tree: dict[str, Any]) -> None:
        tree["loop"]["capture"] = tree["loop"].pop("record")

    tree = rundir.read_config(run)
    older(tree)
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    rewrite(run, lambda manifest: older(manifest["settings"]))

    assert say("verify", run)[0] == 0
    code, _, err = say("resume", run, "loop.capture=never")
    assert (code, "loop.capture=never: no such setting; it is now called loop.record" in err) == (2, True)
    assert say("resume", run, "loop.epochs=3")[0] == 0
    written = rundir.read_config(run)["loop"]
    assert ("capture" in written, written["record"]) == (False, "auto")
    assert say("verify", run, "from=start")[0] == 0


def test_a_saved_configuration_without_newer_keys_gets_their_defaults(run: Path, say: Say) -> None:
    tree = rundir.read_config(run)
    for group, key in (("loop", "record"), ("optimizer", "amsgrad"), ("checkpoint", "keep")):
        del tree[group][key]
    del tree["average"], tree["logger"], tree["threads"], tree["split"]
    (run / "config.yaml").write_text(yaml.safe_dump(tree))

    completed = existing.completed(read_tree(run, []))
    assert validation.problems(completed) == []
    assert completed["loop"]["record"] == "auto"
    assert completed["average"] == {"name": "none"}
    assert completed["optimizer"]["lr"] == tree["optimizer"]["lr"]
    assert say("resume", run, "loop.epochs=3")[0] == 0


def test_what_follows_the_monitor_follows_the_runs_own(run: Path) -> None:
    tree = settings("monitor=val/accuracy", "early_stopping=patience").tree
    del tree["early_stopping"]["monitor"]
    assert existing.completed(tree)["early_stopping"]["monitor"] == "val/accuracy"


def test_unknown_keys_of_a_saved_configuration_are_refused_with_the_version_that_wrote_them(
    run: Path, say: Say
) -> None:
    tree = rundir.read_config(run)
    tree["loop"]["warp"] = 9
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    rundir.write_json(run / "run.json", rundir.read_json(run / "run.json") | {"trainctl": "9.9"})

    for verb in ("resume", "evaluate", "verify", "reproduce"):
        code, _, err = say(verb, run)
        assert code == 4
        assert "loop.warp: no such setting" in err
        assert f"(written by trainctl 9.9; this is trainctl {rundir.version()})" in err
