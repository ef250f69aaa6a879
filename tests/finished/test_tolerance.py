"""A loss that is larger than `tolerance` is exit code 9 for every command that makes a model, and the new run is kept."""

from pathlib import Path

import pytest

from tests.finished import made_of
from tests.finished.made_of import Say, train

say = made_of.say
SHORT = "output.root=made"
# What is typed after the names of the runs; it makes the metric much worse.
WORSE = {
    "prune": ["{0}", "amount=0.97", "rounds=2", "loop.max_steps=1", "optimizer.lr=1e-9", "output=made/new"],
    "prune tune=false": ["{0}", "amount=0.97", "output=made/new"],
    "distill": ["{0}", "model.hidden=[1]", "loop.max_steps=1", SHORT],
    "quantize": ["{0}", "calibrate=1", "output=made/new"],
    "merge method=mean": ["{0}", "{1}", "output=made/new"],
    "ensemble": ["{0}", "{1}", "output=made/new"],
    "split": ["{0}", "output=made/new"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a good run and a bad one, of which the first two letters of the names differ."""
    root = tmp_path_factory.mktemp("trained")
    return [train(root / "good", "loop.epochs=6"), train(root / "bad", "seed=1", "loop.max_steps=1")]


@pytest.mark.slow
@pytest.mark.parametrize("command", WORSE)
def test_a_worse_run_is_exit_9_and_is_kept_whole(trained: list[Path], say: Say, tmp_path: Path, command: str) -> None:
    words = [word.format(*trained) for word in WORSE[command]]
    code, out, err = say(*command.split(), *words, "tolerance=0.001")
    assert code == 9, err
    assert "more than tolerance=0.001; the new run is complete and was kept" in err
    assert "not zero" in out  # what both cost is said as well
    made = sorted(path.parent for path in (tmp_path / "made").rglob("summary.json"))
    assert len(made) == (2 if command == "split" else 1)  # the second round of prune was not begun
    assert not list(tmp_path.rglob(".making-*"))
    for path in made:
        assert say("evaluate", path)[0] == 0
        assert say("lineage", path)[0] == 0


def test_what_was_reached_before_a_round_that_is_worse_is_named(trained: list[Path], say: Say, tmp_path: Path) -> None:
    words = ("amount=0.97", "rounds=2", "loop.max_steps=1", "optimizer.lr=1e-9", "output=small", "tolerance=1")
    code, _, err = say("prune", trained[0], *words)
    assert code in (0, 9)
    first = tmp_path / "small-round-1"
    assert (first / "summary.json").exists()
    code, _, err = say("prune", trained[0], *words[:-2], "output=less", "tolerance=0")
    assert code == 9
    assert f"this was round 1 of 2, with 0.173 left; the run before it is {trained[0].absolute()}" in err


def test_a_tolerance_that_cannot_be_checked_is_no_success(say: Say, tmp_path: Path) -> None:
    run = train(tmp_path / "ae", "model=autoencoder", "model.hidden=[8]", "model.bottleneck=2", "loop.max_steps=1")
    code, _, err = say("distill", run, "model.hidden=[4]", "loop.max_steps=1", SHORT, "tolerance=1")
    assert code == 9
    assert "tolerance=1 cannot be checked" in err
    assert [path.name for path in (tmp_path / "made").iterdir() if path.name[0] != "."]


def test_a_training_that_was_stopped_is_judged_by_nothing(trained: list[Path], say: Say, tmp_path: Path) -> None:
    for verb, words in (("prune", ["amount=0.5", "output=made/new"]), ("distill", [SHORT])):
        code, out, err = say(verb, trained[0], *words, "loop.stop_at_step=1", "tolerance=0")
        assert code == 130, (out, err)
    assert len(list((tmp_path / "made").glob("*/summary.json"))) == 2
