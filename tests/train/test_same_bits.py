"""The number of processes that train a run changes no bit of it: 12 kinds of runs, by 1 to 4 processes, stopped anywhere."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import processes, soak
from tests.together import COMMON, resume, same, train
from trainctl.fileformat import rows_file
from trainctl.finished import open as opening
from trainctl.finished.verify import verify
from trainctl.machine import shared_memory
from trainctl.machine import world as worlds
from trainctl.run.sums import Sums
from trainctl.step import batch as batch_module
from trainctl.step.batch_norms import Statistics
from trainctl.step.tree import run_of
from trainctl.store import restore, rundir
from trainctl.train import conclusion, loop

pytestmark = pytest.mark.usefixtures("quiet")
# Iris has 106 training rows: with 26 in a batch, the last batch of an epoch has 2, less than there are processes.
UNEVEN = (*COMMON, "dataset=iris", "model=mlp", "model.hidden=[8]", "model.dropout=0.3", "loop.batch_size=26",
          "loop.micro_batches=4", "loop.max_steps=9", "loop.eval_every_steps=4", "loop.eval_batch_size=7")  # fmt: skip
DIGITS = (*COMMON, "dataset=digits", "loop.micro_batches=4", "loop.max_steps=5")
RUNS = {
    "uneven": UNEVEN,
    "everything": (*UNEVEN, "model.norm=batch", "average=ema", "optimizer=muon", "loop.clip_norm=0.5", "metric=[f1]",
                   "augment=[noise]", "regularizer=[l2,max_norm]", "schedule=cosine", "loop.batch_size=49"),
    "regression": (*COMMON, "dataset=diabetes", "model=mlp", "loop.batch_size=101", "loop.micro_batches=4",
                   "loop.max_steps=6", "average=swa", "early_stopping=patience", "loop.eval_every_steps=2"),
    "images": (*DIGITS, "model=cnn", "model.channels=[4]", "model.norm=batch", "augment=[crop,mixup]",
               "loop.batch_size=90", "loop.micro_batches=5", "compress=[rigl]"),
    "recorded": (*DIGITS, "model=cnn", "model.channels=[4]", "loop.batch_size=60", "loop.record=always"),
    "unlabelled": (*DIGITS, "model=mlp", "teacher=mean", "split.labels=100", "loop.batch_size=30"),
    "autoencoder": (*DIGITS, "model=autoencoder", "model.hidden=[16]", "loss=mse", "loop.batch_size=50"),
    "frozen": (*DIGITS, "model=mlp", "freeze=gradual", "loop.batch_size=500", "optimizer=lion"),
    "words": (*COMMON, "dataset=text", "dataset.path=texts", "dataset.level=words", "model=rnn", "model.hidden_size=4",
              "loop.batch_size=8", "loop.micro_batches=4", "loop.max_steps=5"),
    "divided": (*DIGITS, "model=mlp", "model.hidden=[16,16]", "optimizer=adamw", "average=ema", "loop.clip_norm=1",
                "distributed.split_state=true", "checkpoint.every_seconds=0", "loop.eval_every_steps=2"),
    "skip": (*UNEVEN, "optimizer.lr=1e30", "loop.on_nonfinite=skip", "checkpoint.every_seconds=0"),
    "rewind": (*UNEVEN, "loop.on_nonfinite=rewind", "checkpoint.every_seconds=0", "optimizer=sgd", "optimizer.lr=1e18"),
    "on disk": (*COMMON, "dataset=arrays", "dataset.path=inputs.npy", "dataset.targets=targets.npy",
                "dataset.keep=disk", "dataset.cache=cache", "model=mlp", "model.hidden=[8]", "loop.batch_size=50",
                "loop.micro_batches=4", "loop.max_steps=14", "loop.eval_every_steps=6"),
}  # fmt: skip


def write_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the data that some of the runs read, in the current directory; those on disk have many windows."""
    monkeypatch.setattr(rows_file, "BLOCK_BYTES", 16 * 5 * 4)
    monkeypatch.setattr(rows_file, "WINDOW_BLOCKS", 4)
    values = np.random.default_rng(0).normal(3, 2, (400, 5)).astype(np.float32)
    np.save("inputs.npy", values)
    np.save("targets.npy", (values.sum(1) > 15).astype(np.int64))
    for name in ("cat", "dog"):
        Path("texts").mkdir(exist_ok=True)
        lines = [f"{name if row % 3 else 'pet'} {'big ' * (row % 4)}{row % 7}\n" for row in range(40)]
        Path("texts", f"{name}.txt").write_text("".join(lines))


def keep_matrix(run: Any, directory: Any, rows: Any, matrix: list[list[int]] = ()) -> None:  # type: ignore[assignment]
    """Keep the confusion matrix instead of drawing it."""
    Path(f"matrix-{directory.name}").write_text(str(matrix))


def matrix_of(directory: Path) -> str:
    return Path(f"matrix-{directory.name}").read_text()


SAID = {"recorded": "recorded", "skip": "skipped step", "rewind": "(rewind 1 of", "on disk": "stay on disk"}
# In `make check`: each kind with one number of processes, and steps as training takes them.
FEW = {"uneven": 3, "everything": 4, "regression": 2, "images": 3, "recorded": 2, "unlabelled": 4, "autoencoder": 2,
       "frozen": 3, "words": 3, "divided": 3, "skip": 2, "rewind": 2, "on disk": 4}  # fmt: skip
ENGINES = ("auto", "never")  # recorded steps and eager ones
CASES = [(name, "auto") for name in FEW] if soak.FACTOR == 1 else list(product(RUNS, ENGINES))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(("name", "engine"), CASES, ids=map(" ".join, CASES))
def test_the_bits_do_not_depend_on_the_number_of_processes(name, engine, tmp_path, monkeypatch):
    write_data(monkeypatch)
    words = list(RUNS[name])
    if name != "recorded":
        words += [f"loop.record={engine}"]
    elif engine == "never":
        pytest.skip("its steps are recorded")
    if soak.FACTOR > 1:
        words += ["loop.max_steps=20"]
    monkeypatch.setattr(conclusion, "draw", keep_matrix)
    train(tmp_path / "1", 1, words)
    assert SAID.get(name, "") in (tmp_path / "1" / "log.txt").read_text()
    for size in (2, 3, 4) if soak.FACTOR > 1 else (FEW[name],):
        train(tmp_path / str(size), size, words)
        assert same(tmp_path / "1", tmp_path / str(size)), size
        assert matrix_of(tmp_path / "1") == matrix_of(tmp_path / str(size))
        assert rundir.read_json(tmp_path / str(size) / "run.json")["processes"] == size


@pytest.mark.parametrize("parts", [2, 8])
@pytest.mark.parametrize("way", ["shared memory", "gloo"])
def test_gradients_that_travel_in_shared_memory_and_by_gloo_have_the_same_bits(way, parts, tmp_path, monkeypatch):
    if way == "gloo":
        monkeypatch.setattr(shared_memory, "between", lambda place, share: None)
    words = [*UNEVEN, f"loop.micro_batches={parts}"]
    words += ["loop.batch_size=21"] if parts == 2 else ["loop.batch_size=101"]  # the last ones have 1 and 5 rows
    for size in (1, 2):
        train(tmp_path / str(size), size, words)
    assert same(tmp_path / "1", tmp_path / "2")


def without_the_others_statistics(patch: pytest.MonkeyPatch) -> None:
    end = Statistics.end

    def of_own(self: Statistics, parts: Any) -> None:
        world = worlds.current()
        end(self, parts and [parts[number] for number in run_of(0, world.size, len(parts))])

    patch.setattr(Statistics, "end", of_own)


def with_sums_by_process(patch: pytest.MonkeyPatch) -> None:
    fold = Sums.fold

    def by_process(self: Sums, parts: Any) -> None:
        size = worlds.current().size
        groups = [[part.double() for part in parts[rank::size]] for rank in range(size)]
        fold(self, [sum(group[1:], group[0]) for group in groups if group])

    patch.setattr(Sums, "fold", by_process)


BROKEN = {
    "no seed between steps": (UNEVEN, 2, lambda patch: patch.setattr(batch_module, "reseed", lambda run, step: None)),
    "no seeds of parts": (
        UNEVEN,
        2,
        lambda patch: patch.setattr("trainctl.step.pieces.seed_generators", lambda *_, **__: 0),
    ),
    "any order": ((*RUNS["unlabelled"], "distributed.sum=fast"), 4, lambda patch: None),
    "statistics of a process's own parts": (RUNS["everything"], 2, without_the_others_statistics),
    "metrics added by process": ((*RUNS["regression"], "loop.eval_batch_size=7"), 2, with_sums_by_process),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_without_one_of_the_rules_the_bits_differ(name, tmp_path, monkeypatch):
    words, size, breakage = BROKEN[name]
    breakage(monkeypatch)
    for count in (1, size):
        assert train(tmp_path / str(count), count, words)[0]["outcome"] == "finished"
    assert not same(tmp_path / "1", tmp_path / str(size))


@pytest.mark.slow
def test_the_bits_depend_on_the_threads_of_a_process(command, tmp_path):
    """Started, not forked: OpenMP's threads do not survive a fork of a process that has used some."""
    words = [*RUNS["divided"], "distributed.split_state=false", "model.hidden=[512]", "loop.batch_size=600"]
    runs = {}
    for name, size, threads in (("one", 1, 1), ("two", 1, 2), ("both", 2, 2)):
        more = ("loop.micro_batches=2", f"threads={threads}", f"processes={size}", f"output.root={tmp_path / name}")
        done = command(*words, *more)
        assert done.returncode == 0, done.stderr
        (runs[name],) = rundir.all_runs(tmp_path / name)
    assert not same(runs["one"], runs["two"])
    assert same(runs["two"], runs["both"])
    assert rundir.read_json(runs["both"] / "run.json")["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "size"), [("muon", 2), ("sgd", 3)])
def test_processes_that_divide_the_optimizer_s_state_keep_a_share_and_save_all(optimizer, size, tmp_path, monkeypatch):
    words = [*RUNS["divided"], f"optimizer={optimizer}", "loop.on_nonfinite=rewind"]
    if optimizer == "sgd":
        words += ["optimizer.momentum=0.9", "freeze=gradual"]
    kept, train_loop = tmp_path / "kept", loop.train

    def noted(run: Any, *given: Any, **named: Any) -> Any:
        try:
            return train_loop(run, *given, **named)
        finally:
            Path(f"{kept}-{run.world.size}-{run.world.rank}").write_text(str(len(run.optimizer.state)))

    monkeypatch.setattr(loop, "train", noted)
    train(tmp_path / "1", 1, words)
    train(tmp_path / "parts", size, [*words, "loop.stop_at_step=3"])
    shares = [int(Path(f"{kept}-{size}-{rank}").read_text()) for rank in range(size)]
    assert 0 < max(shares) < int(Path(f"{kept}-1-0").read_text())
    resume(tmp_path / "parts", 1, "loop.stop_at_step=4")
    resume(tmp_path / "parts", 4, "loop.stop_at_step=null")
    assert same(tmp_path / "1", tmp_path / "parts")
    found = processes.run(2, lambda: verify(opening.open(tmp_path / "parts", [], [], []), "start", None).difference)
    assert found[0] == ""


@pytest.mark.slow
@pytest.mark.soak
def test_a_run_is_continued_by_any_number_of_processes_from_any_step(tmp_path, monkeypatch):
    write_data(monkeypatch)
    chance = soak.seed("elastic")
    for number in range(soak.cases(1)):
        name = chance.choice(["everything", "regression", "divided", "on disk"])
        last = int(next(word for word in RUNS[name] if word.startswith("loop.max_steps=")).partition("=")[2])
        whole, parts = tmp_path / f"whole{number}", tmp_path / f"parts{number}"
        train(whole, 1, RUNS[name])
        stops = sorted(chance.sample(range(1, last), 3 if soak.FACTOR == 1 else min(10, last - 1)))
        train(parts, 2, [*RUNS[name], f"loop.stop_at_step={stops[0]}"])
        for place, stop in enumerate([*stops[1:], None]):
            assert restore.newest(parts).manifest.step == stops[place]
            resume(parts, (1, 4, 3, 2)[place % 4], f"loop.stop_at_step={stop or 'null'}")
        assert same(whole, parts), (name, stops)
