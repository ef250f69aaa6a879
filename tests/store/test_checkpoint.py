"""A checkpoint is whole or not there, is checked when it is read, and belongs to one model and one data set."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import HARD
from trainctl.errors import CheckpointError, StorageError
from trainctl.run import assemble
from trainctl.run.state import TrainState
from trainctl.settings import compose, config
from trainctl.store import checkpoint, manifest, restore
from trainctl.store.manifest import Saved
from trainctl.train import session


def settings(*overrides: str) -> config.Config:
    return compose.compose([*HARD, "checkpoint.every_seconds=0", *overrides])


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    session.begin(settings(), [], tmp_path / "run")
    return tmp_path / "run"


def payload(directory: Path, which: str) -> Path:
    saved = restore.newest(directory)
    return directory / "checkpoints" / getattr(saved.manifest, which).file


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_the_newest_checkpoints_and_the_best_weights_are_kept_and_foreign_files_spared(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    foreign = [folder / "notes.txt", folder / "last-12.safetensors", folder / "model.safetensors"]
    for path in foreign:
        path.write_text("mine")
    run = assemble.assemble(settings())
    for step in (1, 2, 3, 4):
        run.state.step = step
        checkpoint.save(run, tmp_path / "run")

    kept = {path.name for path in folder.iterdir()}
    ours = {
        f"{kind}-{step:08d}.{ending}" for kind, ending in (("step", "json"), ("last", "safetensors")) for step in (3, 4)
    }
    assert kept == ours | {path.name for path in foreign}


@pytest.mark.parametrize("offset", [0, 200, -1], ids=["header", "middle", "end"])
def test_a_flipped_bit_is_found_and_the_checkpoint_before_is_taken(trained: Path, offset: int) -> None:
    assert restore.newest(trained).manifest.step == 12
    flip(payload(trained, "last"), offset)

    older = restore.newest(trained)
    assert older.manifest.step == 8
    assert "damaged (its SHA-256 does not match)" in older.skipped[0]
    assert session.resume(settings(), [], trained)["steps"] == 12
    assert "skipped" in (trained / "log.txt").read_text()


def test_a_flipped_bit_in_the_best_weights_is_found(trained: Path) -> None:
    path = payload(trained, "best")
    flip(path, -1)

    with pytest.raises(CheckpointError, match="damaged"):
        Saved(manifest.read(manifest.all_paths(trained)[-1], ()), path).tensors("best")


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "other"])
def test_a_damaged_manifest_is_passed_over(trained: Path, damage: str) -> None:
    path = manifest.path_of(trained, 12).path
    text = path.read_text()
    damaged = {
        "flip": text.replace('"step": 12', '"step": 13', 1),
        "truncate": text[:-50],
        "empty": "",
        "other": "[1, 2]",
    }[damage]
    path.write_text(damaged)

    assert restore.newest(trained).manifest.step == 8


def test_without_any_good_checkpoint_the_message_says_what_is_wrong_with_each(trained: Path) -> None:
    for path in (trained / "checkpoints").glob("last-*"):
        path.write_bytes(b"")

    with pytest.raises(CheckpointError, match="has no checkpoint to continue from") as caught:
        restore.newest(trained)
    assert str(caught.value).count("damaged") == 2


@pytest.mark.parametrize(
    ("there", "why"),
    [("", "it was killed before its first one, so nothing was trained"), ("metrics.jsonl", "they were removed")],
)
def test_a_run_without_checkpoints_says_the_command_that_starts_it_again(tmp_path: Path, there: str, why: str) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0")
    if there:
        (tmp_path / there).write_text("")
    with pytest.raises(CheckpointError) as caught:
        restore.newest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: has no checkpoint to continue from; {why}; to start it again: trainctl {tmp_path / 'config.yaml'}"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hidden=[17]", "belongs to another model"),
        ("model.channels=[4]", "belongs to another model"),
        ("dataset=mnist", "was created from different data"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(trained: Path, tmp_path: Path, override: str, message: str) -> None:
    words = [override]
    if override == "dataset=mnist":
        write_idx(tmp_path)
        words += [f"dataset.root={tmp_path}", "dataset.download=false"]
    other, saved = assemble.assemble(settings(*words)), restore.newest(trained)

    with pytest.raises(CheckpointError, match=f"belongs to another run: {override.partition('=')[0]}"):
        restore.restore(other, saved)
    older = replace(saved, manifest=replace(saved.manifest, settings={}))  # the tensors and the data are compared
    with pytest.raises(CheckpointError, match=message):
        restore.restore(other, older)


def write_idx(root: Path) -> None:
    """Write MNIST's four files with images of 8 x 8 pixels."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, rows in (("train", 60), ("t10k", 20)):
        header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (rows, 8, 8))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + bytes(i % 256 for i in range(rows * 64)))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            b"\0\0\x08\x01" + rows.to_bytes(4, "big") + bytes(i % 10 for i in range(rows))
        )


def test_state_of_an_optimizer_with_more_tensors_is_refused(trained: Path) -> None:
    run = assemble.assemble(settings())
    saved = restore.newest(trained)
    saved.manifest.optimizer["99"] = {"step": 1}

    with pytest.raises(CheckpointError, match="belongs to another optimizer"):
        restore.restore(run, saved)


def test_every_number_of_the_state_is_saved(trained: Path) -> None:
    assert set(TrainState.__dataclass_fields__) == set(checkpoint.NUMBERS) | {"best_weights"}
    assert set(restore.newest(trained).manifest.state) == set(checkpoint.NUMBERS)


def test_nothing_in_a_checkpoint_is_a_pickle(trained: Path) -> None:
    for path in (trained / "checkpoints").iterdir():
        with pytest.raises((pickle.UnpicklingError, ValueError, KeyError, EOFError, IndexError)):
            pickle.loads(path.read_bytes())
        assert path.suffix in (".json", ".safetensors")


def test_a_save_that_fails_is_loud_and_leaves_the_one_before(trained: Path) -> None:
    run = assemble.assemble(settings())
    restore.restore(run, restore.newest(trained))
    run.state.step = 13
    (trained / "checkpoints" / "step-00000013.json").mkdir()  # a directory in the way: the rename cannot succeed

    with pytest.raises(StorageError, match="cannot be written"):
        checkpoint.save(run, trained)
    assert restore.newest(trained).manifest.step == 12
    assert not list((trained / "checkpoints").glob("*.tmp"))


def test_best_weights_are_those_of_the_best_evaluation(trained: Path) -> None:
    saved = restore.newest(trained)
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["val/loss"] for row in rows if "val/loss" in row}
    best = min(losses, key=losses.__getitem__)

    assert saved.manifest.state["best"]["step"] == best
    run = assemble.assemble(settings())
    restore.load_weights(
        run.model,
        {
            name.removeprefix("model."): value
            for name, value in saved.tensors("best").items()
            if name.startswith("model.")
        },
        saved.path,
    )
    from trainctl.train.evaluation import evaluate

    assert evaluate(run.evaluation, "val")["val/loss"] == losses[best]


def test_random_states_are_restored(trained: Path) -> None:
    saved = restore.newest(trained)
    draws = []
    for _ in range(2):
        restore.restore(assemble.assemble(settings()), saved)
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


def test_checkpoints_of_later_steps_are_removed_also_where_they_are_complete(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    run = assemble.assemble(settings())
    for step in (1, 2, 3, 4):
        run.state.step = step
        checkpoint.save(run, tmp_path / "run")
    run.state.step = 2  # as if those after it had been found damaged when it was resumed
    checkpoint.save(run, tmp_path / "run")
    assert {path.stem for path in (tmp_path / "run" / "checkpoints").glob("step-*.json")} == {"step-00000002"}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"step": 5}, "state.step: expected at most 4"),
        ({"evaluated": 5}, "state.evaluated: expected at most 4"),
        ({"step": -1}, "state.step"),
        ({"step": "4"}, "state.step"),
        ({"best": None}, "best: expected a file of weights"),
    ],
)
def test_a_state_that_cannot_be_is_damage(trained: Path, state: dict[str, object], message: str) -> None:
    path = sorted((trained / "checkpoints").glob("step-*.json"))[0]
    whole = manifest.read(path)
    assert whole.step == 8
    manifest.write(trained, replace(whole, step=4, state=whole.state | {"step": 4, "evaluated": 4} | state))
    with pytest.raises(CheckpointError, match=message):
        manifest.read(trained / "checkpoints" / "step-00000004.json")
