"""Runs become one run of a single model; their weights are averaged or joined, and they are only read."""

import json
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from tests.finished import made_of
from tests.finished.made_of import Say, entries, snapshot, train
from trainctl.finished import averaging, merge
from trainctl.finished.averaging import mean
from trainctl.finished.evaluate import evaluate
from trainctl.finished.open import load_model
from trainctl.finished.open import open as open_run
from trainctl.run.parent import Parent
from trainctl.store.parents import open_parent

say = made_of.say
ROOT = "root=runs"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return three runs that differ in the seed of their weights."""
    root = tmp_path_factory.mktemp("trained")
    return [train(root / f"seed-{seed}", f"seed={seed}") for seed in range(3)]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return two runs that start from the weights of a common run."""
    root = tmp_path_factory.mktemp("tuned")
    start = train(root / "start")
    words = ("init=run", f"init.run={start}", "loop.epochs=1")
    return [train(root / f"tuned-{seed}", f"seed={seed}", *words) for seed in range(2)]


def parent(path: Path) -> Parent:
    return open_parent(path, "part", "best", [])


def weights(path: Path) -> dict[str, torch.Tensor]:
    return parent(path).model


def value(path: Path) -> float:
    return evaluate(open_run(path, [], [], []), "val", "best").metrics["val/loss"]


@pytest.mark.parametrize("method", ["greedy", "mean", "join"])
def test_a_merged_run_is_a_run_and_its_parts_are_untouched(trained: list[Path], say: Say, method: str) -> None:
    before = snapshot(*trained)
    code, out, err = say("merge", *trained, f"method={method}", "output=runs/merged", ROOT)
    assert code == 0, err
    assert "results: runs/merged" in out
    assert snapshot(*trained) == before
    for words in (["evaluate", "runs/merged"], ["reproduce", "runs/merged"], ["verify", "runs/merged"], ["runs", ROOT]):
        assert say(*words)[0] == 0, words
    code, out, _ = say("reproduce", "runs/merged", "output=again")
    assert (code, out.strip().endswith("the new run is again")) == (0, True)
    assert weights(Path("again")).keys() == weights(Path("runs/merged")).keys()
    for words in (["evaluate", "again"], ["verify", "again"]):
        assert say(*words)[0] == 0, words
    assert say("reproduce", "runs/merged", "output=again")[0] == 2
    assert "ms a row, batch of 128" in say("compare", "runs/merged", trained[0])[1]
    assert "ms a row" not in say("compare", *trained[:2])[1]
    code, out, _ = say("lineage", "runs/merged", "format=json")
    tree = json.loads(out)
    assert [each["role"] for each in tree] == ["", "part", "part", "part"]
    assert tree[0]["made_by"]["verb"] == "merge"
    code, _, err = say("resume", "runs/merged")
    assert code == 4
    assert "was made by merge without training, so there is nothing to resume; to train it: trainctl finetune" in err


def test_the_mean_is_that_of_the_weights_and_the_better_statistics_are_kept(trained: list[Path], say: Say) -> None:
    assert say("merge", *trained, "method=mean", "output=runs/merged", ROOT)[0] == 0
    merged, expected = weights(Path("runs/merged")), mean([weights(path) for path in trained])
    for key, tensor in expected.items():
        if "running" not in key and "tracked" not in key:
            assert torch.equal(merged[key], tensor), key
    parents = tuple(map(parent, trained))
    settings = merge.Settings("mean", align=False)
    made = merge.merge(merge.configuration(parents, settings, "runs"), parents, settings)
    plain = averaging.measured(made.run, expected, "")
    assert made.trials[-1].statistics == "measured"  # of seeds whose units are in different orders
    assert made.value < plain
    assert made.value == value(Path("runs/merged"))


def test_statistics_of_the_parts_are_kept_if_measured_ones_are_worse(trained: list[Path]) -> None:
    parents = tuple(map(parent, trained[:1] * 2))
    settings = merge.Settings("mean", align=False)
    run = merge.merge(merge.configuration(parents, settings, "runs"), parents, settings).run
    own = parents[0].model
    kept, metric, kind = averaging.with_statistics(run, own)
    plain = averaging.measured(run, own, "")
    assert metric <= plain
    assert (kind == "averaged") == (metric == plain)
    if kind == "averaged":
        assert kept is own


def test_a_greedy_mean_is_never_worse_than_its_best_part(trained: list[Path], tuned: list[Path], say: Say) -> None:
    best = min(map(value, trained))
    assert say("merge", *trained, "output=runs/seeds", ROOT)[0] == 0
    assert value(Path("runs/seeds")) <= best
    assert say("merge", *tuned, "output=runs/tuned", ROOT)[0] == 0
    assert value(Path("runs/tuned")) <= min(map(value, tuned))


def test_fine_tuned_runs_of_one_start_are_averaged(tuned: list[Path], say: Say) -> None:
    assert say("merge", *tuned, "method=mean", "output=runs/merged", ROOT)[0] == 0
    assert value(Path("runs/merged")) < 1.5 * max(map(value, tuned))


def test_a_mean_that_is_worse_than_its_parts_is_said_with_what_to_do(trained: list[Path], say: Say) -> None:
    code, _, err = say("merge", *trained, "method=mean", ROOT)
    assert code == 0
    assert "worse than its best part" in err
    for advice in ("align=true", "method=greedy", "trainctl finetune", "trainctl ensemble"):
        assert advice in err
    _, _, err = say("merge", *trained, ROOT)
    assert "no mean was as good as the best part" in err


def test_aligned_seeds_have_a_better_mean(trained: list[Path], say: Say) -> None:
    assert say("merge", *trained[:2], "method=mean", "output=runs/plain", ROOT)[0] == 0
    assert say("merge", *trained[:2], "method=mean", "align=true", "output=runs/aligned", ROOT)[0] == 0
    assert value(Path("runs/aligned")) < value(Path("runs/plain"))
    assert say("reproduce", "runs/aligned")[0] == 0


def test_a_joined_run_computes_the_mean_of_the_outputs(trained: list[Path], say: Say) -> None:
    assert say("merge", *trained, "method=join", "output=runs/wide", ROOT)[0] == 0
    outputs = []
    rows = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for path in (Path("runs/wide"), *trained):
        run = open_run(path, [], [], [])
        outputs.append(load_model(run, run.weights("best"))[0](rows))
    torch.testing.assert_close(outputs[0], torch.stack(outputs[1:]).mean(0), rtol=1e-5, atol=1e-5)
    size = json.loads(Path("runs/wide/summary.json").read_text())["size"]
    assert size["before"]["parameters"] == 3 * json.loads((trained[0] / "summary.json").read_text())["parameters"]


def test_parents_can_be_deleted(trained: list[Path], say: Say, tmp_path: Path) -> None:
    copies = [train(tmp_path / "copies" / f"{seed}", f"seed={seed}") for seed in range(2)]
    assert say("merge", *copies, "method=mean", "output=runs/merged", ROOT)[0] == 0
    for path in copies:
        path.rename(tmp_path / f"gone-{path.name}")
    assert say("reproduce", "runs/merged")[0] == 0
    assert "gone" in say("lineage", "runs/merged")[1]


DIFFERENCES = {
    "model": (["model=cnn", "model.channels=[4]"], "model.name is cnn, not mlp"),
    "width": (["model.hidden=[12,9]"], "model.hidden is [12,9], not [12,8]"),
    "norm": (["model.norm=none"], "model.norm is none, not batch"),
    "task": (["dataset=diabetes", "loss=mse"], "task is regression, not classification"),
    "classes": (["dataset=wine"], "number of classes: 3, not 10"),
    "scale": (["scale=minmax"], "scale (fitted to its training rows) is minmax, not standard"),
    "rows": (["split.seed=1"], "scale (fitted to its training rows): other numbers, because other rows were used"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_runs_that_do_not_fit_are_refused_and_nothing_is_left(
    trained: list[Path], say: Say, kind: str, tmp_path: Path
) -> None:
    words, message = DIFFERENCES[kind]
    words = [word for word in words if not word.startswith("model.") or "model=cnn" not in words] + ["loop.max_steps=1"]
    if "model=cnn" in words:
        words += ["model.hidden=[8]"]
    other = train(tmp_path / "other", *words)
    before = entries(tmp_path)
    for method in ("greedy", "mean"):
        code, _, err = say("merge", trained[0], other, f"method={method}", ROOT)
        assert code == 4
        assert message in err
        assert "other does not match seed-0" in err
    assert entries(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "merge needs at least two runs: trainctl merge RUN RUN"),
        (["{0}"], 2, "merge needs at least two runs"),
        (["{0}", "{0}"], 2, "merge was given this run twice"),
        (["{0}", "nothing"], 4, "nothing: no such run in runs"),
        (["{0}", "{1}", "method=sum"], 2, "method=sum: no such method"),
        (["{0}", "{1}", "align=maybe"], 2, "align=maybe: no such align"),
        (["{0}", "{1}", "method=join", "align=true"], 2, "align=true: method=join keeps the units of all parts"),
        (["{0}", "{1}", "tolerance=-1"], 2, "tolerance=-1: expected a number in [0, inf)"),
        (["{0}", "{1}", "output={0}"], 2, "already exists"),
        (["{0}", "{1}", "model.hidden=[3]"], 2, "cannot change in an existing run"),
    ],
)  # fmt: skip
def test_what_the_user_can_mend_has_its_exit_code_and_leaves_nothing(
    trained: list[Path], say: Say, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    before = entries(tmp_path)
    found, _, err = say("merge", *(word.format(*trained) for word in words), ROOT)
    assert (found, message in err) == (code, True), err
    assert "Traceback" not in err
    assert entries(tmp_path) - {"runs"} == before
    assert not (tmp_path / "runs").exists() or not entries(tmp_path / "runs")


def test_layer_norm_is_not_joined(say: Say, tmp_path: Path) -> None:
    pair = [train(tmp_path / f"{seed}", f"seed={seed}", "model.norm=layer", "loop.max_steps=1") for seed in range(2)]
    code, _, err = say("merge", *pair, "method=join", ROOT)
    assert code == 4
    assert "the layer norm after layer 1 computes its statistics over units of several parts" in err
    assert not (tmp_path / "runs").exists()


def test_a_damaged_part_is_refused(trained: list[Path], say: Say, tmp_path: Path) -> None:
    broken = train(tmp_path / "broken", "seed=5", "loop.max_steps=2")
    for file in (broken / "checkpoints").glob("*.safetensors"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    code, _, err = say("merge", trained[0], broken, ROOT)
    assert code == 4
    assert "SHA-256" in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.4, 0.8, 1.2])
def test_a_kill_leaves_a_whole_run_or_nothing_that_looks_like_one(
    trained: list[Path], start, say: Say, tmp_path: Path, delay: float
) -> None:
    before = snapshot(*trained)
    process = start("merge", *map(str, trained), "method=join", "output=runs/merged", ROOT)
    time.sleep(delay)
    with suppress(ProcessLookupError):  # it may have ended
        process.send_signal(signal.SIGKILL)
    process.communicate()
    assert snapshot(*trained) == before
    if Path("runs/merged").exists():
        assert say("reproduce", "runs/merged")[0] == 0
    else:
        assert "merged" not in say("runs", ROOT)[1]
        assert say("merge", *trained, "method=join", "output=runs/merged", ROOT)[0] == 0
