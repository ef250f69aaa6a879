"""`verify` and `reproduce`: what was computed once is computed again, to the last bit, and what differs is named."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from tests.finished import test_open as test_loading
from tests.finished.test_open import FORMATS, Say, newest, rewrite
from trainctl.errors import Interrupted
from trainctl.settings import compose, config
from trainctl.store import restore, rundir
from trainctl.store.tensors import write as write_tensors
from trainctl.train import session

HARD = (
    "dataset=iris", "model=mlp", "model.hidden=[5]", "model.dropout=0.2", "loop.batch_size=40", "loop.epochs=3", "threads=1",
    "output.plots=false", "average=ema", "schedule=plateau", "early_stopping=patience", "loop.micro_batches=2",
    "checkpoint.every_seconds=0", "augment=[noise]",
)  # fmt: skip

say = test_loading.say


def settings(*overrides: str) -> config.Config:
    return compose.compose([*HARD, *overrides])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of 9 steps with checkpoints of 6 and 9."""
    directory = tmp_path_factory.mktemp("replayed") / "run"
    session.begin(settings(), list(HARD), directory)
    return directory


@pytest.fixture
def run(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept, tmp_path / "run")


def state(directory: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in directory.rglob("*") if path.is_file()}


def change_row(directory: Path, step: int, key: str, value: float) -> None:
    rows = rundir.read_metrics(directory)
    for row in rows:
        if row["step"] == step and key in row:
            row[key] = value
    (directory / "metrics.jsonl").write_text("".join(map(rundir.line, rows)))


def change_tensor(directory: Path, prefix: str, by: float = 2e-7) -> str:
    """Change one value of the newest checkpoint, by default in its last bit; return the tensor's name."""
    saved = restore.newest(directory)
    path = directory / "checkpoints" / saved.manifest.last.file
    tensors = safetensors.torch.load(path.read_bytes())
    name = next(key for key in tensors if key.startswith(prefix) and tensors[key].ndim)
    tensors[name].view(-1)[0] = tensors[name].view(-1)[0] * (1 + by) + 1e-12
    path.unlink()
    entry = asdict(write_tensors(path, tensors))
    rewrite(
        directory, lambda manifest: manifest.update(last=entry) if manifest["last"]["file"] == entry["file"] else None
    )
    return name


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "from the start to step 9: 3 evaluations"),
        (("from=oldest",), "from step 6 to step 9: 1 evaluation,"),
        (("from=6",), "from step 6 to step 9: 1 evaluation,"),
        (("from=start", "steps=6"), "from the start to step 6: 2 evaluations"),
        (("steps=4",), "to step 4: 1 evaluation, no tensors, as no checkpoint of step 4 is kept"),
    ],
)
def test_a_run_is_verified_bit_for_bit_and_left_alone(run: Path, say: Say, words: tuple[str, ...], told: str) -> None:
    before = state(run)

    code, out, err = say("verify", run, *words)

    assert (code, err) == (0, "")
    assert "bit-identical from" in " ".join(out.split())
    assert told in " ".join(out.split())
    assert state(run) == before
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_the_first_evaluation_that_differs_is_named(run: Path, say: Say) -> None:
    value = next(row["val/loss"] for row in rundir.read_metrics(run) if row["step"] == 6)
    change_row(run, 6, "val/loss", value + 1e-16 if value + 1e-16 != value else value * (1 + 3e-16))
    change_row(run, 9, "val/loss", 0.0)

    code, out, err = say("verify", run)

    assert (code, out) == (4, "")
    assert "is not bit-identical: step 6: val/loss was " in err
    assert f"is now {value}" in err
    assert "run.json shows no cause" in err


@pytest.mark.parametrize("prefix", ["model.", "average.", "optimizer."])
def test_the_first_tensor_that_differs_is_named(run: Path, say: Say, prefix: str) -> None:
    name = change_tensor(run, prefix)

    code, _, err = say("verify", run)

    assert code == 4
    assert f"step 9: tensor {name} differs in 1 of " in err


@pytest.mark.parametrize("line", ["lost", "added"])
def test_evaluations_that_are_missing_or_too_many_are_noticed(run: Path, say: Say, line: str) -> None:
    rows = rundir.read_metrics(run)
    rows = [row for row in rows if row["step"] != 3] if line == "lost" else [rows[0] | {"step": 2}, *rows]
    (run / "metrics.jsonl").write_text("".join(map(rundir.line, rows)))

    code, _, err = say("verify", run)

    assert code == 4
    assert (
        "step 3: metrics.jsonl has no such evaluation" if line == "lost" else "4 evaluations recorded, 3 repeated"
    ) in err


def test_a_run_that_was_stopped_and_resumed_is_verified(tmp_path: Path, say: Say) -> None:
    with pytest.raises(Interrupted):
        session.begin(settings("loop.stop_at_step=4"), [], tmp_path / "run")
    assert say("verify", tmp_path / "run")[0] == 0
    assert say("reproduce", tmp_path / "run")[0] == 0
    assert say("resume", tmp_path / "run")[0] == 0
    for verb in ("verify", "reproduce"):
        code, out, err = say(verb, tmp_path / "run")
        assert (code, err) == (0, ""), err
        assert "identical" in out


def test_what_was_changed_on_the_way_is_named_as_a_cause(tmp_path: Path, say: Say) -> None:
    session.begin(settings("schedule=cosine"), [], tmp_path / "run")
    assert say("resume", tmp_path / "run", "loop.epochs=4")[0] == 0

    code, _, err = say("verify", tmp_path / "run")

    assert code == 4
    assert "step 3: lr was" in err
    assert "it was resumed at step 9 with loop.epochs=4" in err
    assert say("verify", tmp_path / "run", "from=9")[0] == 0


def test_a_damaged_newest_checkpoint_is_passed_over_and_told(run: Path, say: Say) -> None:
    newest(run, "last").write_bytes(b"")

    code, out, err = say("verify", run)

    assert code == 0
    assert "to step 6" in out
    assert "skipped" in err


def test_a_damaged_older_checkpoint_is_told_too(run: Path, say: Say) -> None:
    min((run / "checkpoints").glob("last-*")).write_bytes(b"<html>")
    code, out, err = say("verify", run)
    assert (code, "bit-identical" in out) == (0, True)
    assert "skipped" in err
    assert "a web page" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("from=5",), 2, "from=5: no such checkpoint to start from; choose from: start, oldest, 0, 6"),
        (("from=often",), 2, "from=often: expected a step"),
        (("steps=0",), 2, "steps=0: expected a whole number"),
        (("optimizer.lr=1",), 2, "cannot change in an existing run"),
        (("step=3",), 2, "no such option; did you mean steps?"),
        (("stride=3",), 2, "no such setting"),
    ],
)
def test_wrong_words_are_answered(run: Path, say: Say, words: tuple[str, ...], code: int, message: str) -> None:
    found, _, err = say("verify", run, *words)
    assert found == code
    assert message in err


@pytest.mark.parametrize("verb", ["verify", "reproduce"])
@pytest.mark.parametrize("clock", ["loop.max_time=5m", "early_stopping=time"])
def test_a_run_that_follows_the_clock_cannot_be_repeated(tmp_path: Path, say: Say, verb: str, clock: str) -> None:
    with pytest.raises(Interrupted):
        session.begin(settings(clock, "loop.stop_at_step=1"), [], tmp_path / "run")
    code, _, err = say(verb, tmp_path / "run")
    assert code == 2
    assert "depends on the wall clock is not reproducible" in err


@pytest.mark.parametrize("verb", ["verify", "reproduce"])
def test_a_run_that_went_back_to_a_checkpoint_cannot_be_repeated(run: Path, say: Say, verb: str) -> None:
    rewrite(run, lambda manifest: manifest["state"].update(rewinds=int(manifest["step"] == 9)))
    code, _, err = say(verb, run)
    assert code == 2
    assert "the run went back 1 time" in err


def test_a_run_that_went_back_is_verified_from_a_later_checkpoint(run: Path, say: Say) -> None:
    rewrite(run, lambda manifest: manifest["state"].update(rewinds=1))
    code, _, err = say("verify", run)
    assert code == 4  # replayed, at half the rate, which this run did not have
    assert "is not bit-identical: step 9: lr was" in err


@pytest.mark.parametrize("verb", ["verify", "reproduce"])
def test_other_data_are_refused_before_anything_is_computed(run: Path, say: Say, verb: str) -> None:
    rewrite(run, lambda manifest: manifest["data"].update(fingerprint="0" * 64))
    code, _, err = say(verb, run)
    assert code == 4
    assert "was created from different data: values differ" in err


def test_a_run_is_reproduced_and_the_new_one_removed(run: Path, say: Say) -> None:
    before = state(run)

    code, out, err = say("reproduce", run)

    assert (code, err) == (0, "")
    assert "identical to step 9: 4 evaluations" in " ".join(out.split())  # the test's metrics are one of them
    assert state(run) == before
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_a_reproduction_can_be_kept(run: Path, say: Say, tmp_path: Path) -> None:
    code, out, _ = say("reproduce", run, "output=again")
    assert code == 0
    assert "the new run is again" in " ".join(out.split())
    assert json.loads((tmp_path / "again" / "summary.json").read_text())["outcome"] == "finished"
    assert say("reproduce", run, "output=again")[0] == 2


DIFFERENCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "metric": (lambda run: change_row(run, 6, "train/loss", 0.5), "step 6: train/loss was 0.5, is now"),
    "test-metric": (
        lambda run: [change_row(run, step, "test/loss", 0.5) for step in (3, 6, 9)],
        "step 9: test/loss was 0.5, is now",
    ),
    "weights": (lambda run: change_tensor(run, "model."), "step 9: tensor model."),
}


@pytest.mark.parametrize(("change", "message"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_is_not_reproduced_is_named_with_its_likely_causes(
    run: Path, say: Say, change: Callable[[Path], object], message: str
) -> None:
    change(run)
    facts: dict[str, Any] = rundir.read_json(run / "run.json")
    facts["versions"]["torch"] = "2.0"
    rundir.write_json(run / "run.json", facts | {"host": "elsewhere"})

    code, out, err = say("reproduce", run)

    assert (code, out) == (4, "")
    assert f"was not reproduced: {message}" in err
    assert "likely causes: torch's version was 2.0, is " in err
    assert "the host was elsewhere, is " in err


def test_other_threads_are_a_likely_cause_and_told_by_resume(run: Path, say: Say) -> None:
    rewrite(run, lambda manifest: manifest.update(threads=64) or manifest["written_by"].update(torch="2.0"))

    code, out, _ = say("resume", run, "loop.epochs=4")
    assert code == 0
    assert "threads was 64, is now 1: results may differ in the last bits" in out
    assert "torch was 2.0, is " in out


def test_the_stored_run_of_the_first_format_can_be_replayed(tmp_path: Path, say: Say) -> None:
    directory = shutil.copytree(FORMATS[0], tmp_path / "run")
    code, _, err = say("verify", directory)
    assert code in (0, 4)  # bits are those of one machine
    assert "is there now" not in err


def test_a_place_that_cannot_hold_the_new_run_is_named(run: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "mkdir", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    code, _, err = say("reproduce", run)
    assert code == 5
    assert "cannot be written: Permission denied; choose another directory with output=DIR" in err
