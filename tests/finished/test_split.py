"""A run is split into small runs that are complete; splitting a joined run returns what was joined."""

import json
from pathlib import Path

import pytest
import torch

from tests.finished import made_of
from tests.finished.made_of import Say, entries, snapshot, train
from trainctl.finished.open import open as open_run
from trainctl.store.parents import open_parent

say = made_of.say
ROOT = "root=runs"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return runs of different widths and seeds."""
    root = tmp_path_factory.mktemp("trained")
    return [
        train(root / "first"), train(root / "second", "seed=1", "model.hidden=[9,5]"), train(root / "third", "seed=2")
    ]  # fmt: skip


def weights(path: Path) -> dict[str, torch.Tensor]:
    return open_parent(path, "part", "best", []).model


def test_the_parts_of_a_run_are_runs(trained: list[Path], say: Say) -> None:
    before = snapshot(trained[0])
    code, out, err = say("split", trained[0], "parts=3", "output=runs/parts", ROOT)
    assert code == 0, err
    assert snapshot(trained[0]) == before
    parts = [Path(f"runs/parts/part-{number}") for number in range(3)]
    assert out.count("results: ") == 3
    for part in parts:
        for verb in ("evaluate", "reproduce", "verify", "lineage"):
            assert say(verb, part)[0] == 0
    widths = [open_run(part, [], [], []).config.parts["model"]["hidden"] for part in parts]
    assert widths == [[4, 3], [4, 3], [4, 2]]
    whole = weights(trained[0])
    assert torch.equal(weights(parts[1])["1.weight"], whole["1.weight"][4:8])
    assert torch.equal(weights(parts[2])["5.weight"], whole["5.weight"][6:, 8:])
    code, _, err = say("resume", parts[0])
    assert (code, "finetune" in err) == (4, True)
    size = json.loads((parts[0] / "summary.json").read_text())["size"]
    assert size["parameters"] < size["before"]["parameters"]


@pytest.mark.slow
def test_parts_train_on_their_own_and_can_be_joined(trained: list[Path], say: Say) -> None:
    assert say("split", trained[0], "output=runs/parts", ROOT)[0] == 0
    for number in range(2):
        words = (f"runs/parts/part-{number}", "loop.max_steps=3", "output.root=tuned", "output.plots=false")
        assert say("finetune", *words)[0] == 0
    tuned = sorted(Path("tuned").glob("2*"))
    assert len(tuned) == 2
    assert say("merge", *tuned, "method=join", "output=runs/joined", ROOT)[0] == 0
    assert open_run(Path("runs/joined"), [], [], []).config.parts["model"]["hidden"] == [12, 8]


@pytest.mark.parametrize("which", [[0, 1], [0, 1, 2]], ids=["of different widths", "three"])
def test_splitting_a_joined_run_returns_the_bits_of_its_parts(trained: list[Path], say: Say, which: list[int]) -> None:
    parts = [trained[number] for number in which]
    assert say("merge", *parts, "method=join", "output=runs/wide", ROOT)[0] == 0
    assert say("split", "runs/wide", f"parts={len(parts)}", "output=runs/again", ROOT)[0] == 0
    for number, part in enumerate(parts):
        again, own = weights(Path(f"runs/again/part-{number}")), weights(part)
        assert again.keys() == own.keys()
        assert all(torch.equal(again[key], own[key]) for key in own)
        assert say("reproduce", f"runs/again/part-{number}")[0] == 0
        config, before = (open_run(path, [], [], []).config.parts for path in (Path(f"runs/again/part-{number}"), part))
        assert config["model"] == before["model"]


def test_joining_the_parts_of_a_run_returns_its_units_to_the_last_bit(trained: list[Path], say: Say) -> None:
    assert say("split", trained[0], "output=runs/parts", ROOT)[0] == 0
    assert say("merge", "runs/parts/part-0", "runs/parts/part-1", "method=join", "output=runs/joined", ROOT)[0] == 0
    joined, whole = weights(Path("runs/joined")), weights(trained[0])
    for key in whole:
        if key == "5.weight":  # the weights between the parts are gone
            assert torch.equal(joined[key][:4, :6], whole[key][:4, :6])
            assert torch.equal(joined[key][4:, 6:], whole[key][4:, 6:])
            assert not joined[key][:4, 6:].any()
            assert not joined[key][4:, :6].any()
        else:
            assert torch.equal(joined[key], whole[key]), key


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "split needs a run: trainctl split RUN parts=2"),
        (["{0}", "parts=1"], 2, "parts=1: expected a whole number in [2, inf)"),
        (["{0}", "parts=9"], 2, "parts=9: model.hidden=[12,8] has a layer with fewer units than that"),
        (["{0}", "parts=99999999999"], 2, "has a layer with fewer units than that"),
        (["{0}", "{1}"], 2, "unexpected argument"),
        (["nothing"], 4, "no such run in runs"),
        (["{0}", "output={0}"], 2, "already exists"),
    ],
)  # fmt: skip
def test_what_the_user_can_mend_has_its_exit_code_and_leaves_nothing(
    trained: list[Path], say: Say, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    found, _, err = say("split", *(word.format(*trained) for word in words), ROOT)
    assert (found, message in err) == (code, True), err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists() or not entries(tmp_path / "runs")


def test_a_model_without_hidden_units_is_not_split(say: Say, tmp_path: Path) -> None:
    run = train(tmp_path / "deepest", "model.hidden=[]", "loop.max_steps=1")
    code, _, err = say("split", run, ROOT)
    assert code == 2
    assert "model=mlp has no hidden units to split" in err


@pytest.mark.parametrize("verb", ["merge", "split", "ensemble"])
def test_settings_and_parents_that_were_tampered_with_are_refused(trained: list[Path], say: Say, verb: str) -> None:
    words = {"merge": [trained[0], trained[2]], "ensemble": [trained[0], trained[2]], "split": [trained[0]]}[verb]
    assert say(verb, *words, "output=runs/made", ROOT)[0] == 0
    made = Path("runs/made/part-0" if verb == "split" else "runs/made")
    content = json.loads((made / "run.json").read_text())
    if verb != "ensemble":
        for settings in ({}, {"method": "x", "align": 1, "parts": "2", "part": -1}):
            content["made_by"]["settings"] = settings
            (made / "run.json").write_text(json.dumps(content))
            code, _, err = say("reproduce", made)
            assert (code, "made_by.settings: expected" in err) == (4, True), err
    (made / "parents").rename(made / "elsewhere")
    code, _, err = say("reproduce", made)
    assert (code, "parents: is missing" in err) == (4, True), err
    assert say("evaluate", made)[0] == 0
