"""`prune`: rounds, lottery tickets, units, and the run itself untouched."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.finished.test_open import say  # noqa: F401 - a fixture
from trainctl.components.compress.base import prunable
from trainctl.finished.lineage import lineage
from trainctl.finished.open import open as open_run
from trainctl.finished.reproduce import reproduce
from trainctl.run import assemble
from trainctl.settings import compose
from trainctl.settings.smaller import narrower, remaining, sparser
from trainctl.store import parents, records, restore
from trainctl.train import session

SHORT = (
    "dataset=iris", "model=mlp", "model.hidden=[20,10]", "model.norm=batch", "model.dropout=0", "loop.batch_size=40",
    "loop.epochs=3", "output.plots=false", "threads=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("pruned") / "run"
    session.begin(compose.compose([*SHORT]), [], directory)
    return directory


@pytest.fixture
def run(kept, tmp_path) -> Path:
    return shutil.copytree(kept, tmp_path / "run")


def best(directory: Path) -> dict[str, torch.Tensor]:
    named = restore.newest(directory).tensors("best")
    return {key.removeprefix("model."): value for key, value in named.items() if key.startswith("model.")}


def zeros(directory: Path) -> dict[str, torch.Tensor]:
    return {key: value == 0 for key, value in best(directory).items() if key.endswith("weight") and value.ndim > 1}


def fraction(directory: Path) -> float:
    parts = zeros(directory).values()
    return sum(int(part.sum()) for part in parts) / sum(part.numel() for part in parts)


def files(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_ticket_is_the_first_weights_under_the_mask_of_the_trained_ones(run, say, tmp_path):  # noqa: F811
    before = files(run)
    code, out, said = say(
        "prune", "run", "root=.", "amount=0.8", "rounds=2", "rewind=true", "output=ticket", "loop.stop_at_step=2"
    )
    assert code == 130  # stopped as planned; the round can be resumed
    assert files(run) == before
    ticket = open_run(tmp_path / "ticket-round-1", [], [], ())
    again = assemble.assemble(ticket.config, ticket.schema, parents.read(ticket.directory, []))
    first = assemble.assemble(open_run(run, [], [], ()).config).model.state_dict()
    assert all(torch.equal(value, first[name]) for name, value in again.model.state_dict().items())
    assert say("resume", "ticket-round-1", "root=.")[0] == 0
    trained = best(run)
    magnitudes = torch.cat([trained[name].abs().flatten() for name in prunable(again.model)])
    limit = magnitudes.sort().values[round((1 - 0.2**0.5) * len(magnitudes))]
    assert all(
        torch.equal(part, trained[name].abs() < limit) for name, part in zeros(tmp_path / "ticket-round-1").items()
    )
    assert "the same as: trainctl" in out
    del said


def test_rounds_prune_what_is_left_and_each_is_a_run_with_its_lineage(run, say, tmp_path):  # noqa: F811
    code, out, _ = say("prune", "run", "root=.", "amount=0.8", "rounds=3", "output=small", "loop.epochs=1")
    assert code == 0
    assert [fraction(tmp_path / f"small-round-{n}") for n in (1, 2, 3)] == pytest.approx(
        [1 - 0.2 ** (1 / 3), 1 - 0.2 ** (2 / 3), 0.8], abs=0.01
    )
    for n in (2, 3):
        earlier, later = (zeros(tmp_path / f"small-round-{each}") for each in (n - 1, n))
        assert all(bool(later[name][part].all()) for name, part in earlier.items())  # what was 0 is 0
    assert [one.name for one in lineage(tmp_path / "small-round-3")] == [
        "small-round-3",
        "small-round-2",
        "small-round-1",
        "run",
    ]
    assert out.count("zeros do not speed up dense kernels") == 3
    size = records.read_summary(tmp_path / "small-round-3").size
    assert size.parameters == size.before.parameters
    assert size.nonzero < 0.4 * size.parameters
    assert set(size.zeros) == {"1.weight", "4.weight", "7.weight"}
    shutil.rmtree(tmp_path / "small-round-2")  # the parents of a run may be deleted
    assert reproduce(open_run(tmp_path / "small-round-3", [], [], ()), tmp_path / "again").difference == ""


def test_a_pruned_run_is_pruned_again_and_never_less(run, say, tmp_path):  # noqa: F811
    assert say("prune", "run", "root=.", "amount=0.6", "tune=false", "output=a")[0] == 0
    assert (
        say(
            "prune",
            "a",
            "root=.",
            "amount=0.9",
            "loop.epochs=1",
            "gradual=true",
            "output=b",
            "compress.prune.every_steps=1",
        )[0]
        == 0
    )
    assert (fraction(tmp_path / "a"), fraction(tmp_path / "b")) == pytest.approx((0.6, 0.9), abs=0.01)
    assert all(bool(zeros(tmp_path / "b")[name][part].all()) for name, part in zeros(tmp_path / "a").items())
    code, _, said = say("prune", "b", "root=.", "amount=0.9")
    assert (code, "are already 0; use a larger amount" in said) == (2, True)
    assert say("reproduce", "a", "root=.")[0] == 0
    code, _, said = say("prune", "a", "root=.", "amount=0.9", "rewind=true")
    assert (code, "was made without training" in said) == (4, True)


def test_a_pruned_run_has_the_name_that_was_typed(run, say, tmp_path):  # noqa: F811
    for word in ("output.name=thin", "loop.epochs=1"):
        assert say("prune", "run", "root=.", "amount=0.5", "tune=false", "output.root=made", word)[0] == 0
    names = sorted(path.name.split("-", 2)[2].rpartition("-")[0] for path in (tmp_path / "made").iterdir())
    assert names == ["prune-mlp", "thin"]


def test_the_strongest_units_are_kept(run, say, tmp_path):  # noqa: F811
    assert say("prune", "run", "root=.", "amount=0.5", "scope=units", "tune=false", "output=units")[0] == 0
    made = best(tmp_path / "units")
    assert [made[f"{n}.weight"].shape for n in (1, 4, 7)] == [(10, 4), (5, 10), (3, 5)]
    before = best(run)
    norms = before["1.weight"].square().sum(1) * before["4.weight"].square().sum(0)
    strongest = norms.argsort(descending=True)[:10].sort().values
    assert torch.equal(made["1.weight"], before["1.weight"][strongest])
    assert say("evaluate", "units", "root=.")[0] == 0
    assert say("reproduce", "units", "root=.")[0] == 0


def test_a_users_group_in_a_directory_of_configuration_files_is_a_setting_of_every_command(run, say, tmp_path):  # noqa: F811
    (tmp_path / "mine" / "schedule").mkdir(parents=True)
    (tmp_path / "mine" / "schedule" / "gentle.yaml").write_text(
        "name: exponential\nwarmup_steps: 0\ngamma: 0.99\nstaircase: false\n"
    )
    more = ["--config-dir", "mine", "schedule=gentle", "loop.max_steps=2", "root=.", "output.root=new"]
    for words in (["finetune"], ["distill"], ["prune", "amount=0.5", "output=pruned"]):
        code, out, err = say(*words[:1], "run", *words[1:], *more)
        assert code == 0, err
        assert "the same as: trainctl --config-dir mine " in out
        code, _, err = say(*words[:1], "run", *words[1:2], *more[2:])
        assert (code, "schedule=gentle: no such schedule" in err) == (2, True), err
    for words in (["find-lr", "steps=10"], ["list", "schedule", "gentle"], ["inspect"], ["evaluate", "run", "root=."]):
        settings = ["schedule=gentle"] if words[0] in ("find-lr", "inspect") else []
        code, out, err = say(*words, "--config-dir", "mine", *settings)
        assert code == 0, err
    made = tmp_path / "pruned" / "config.yaml"
    assert "gamma: 0.99" in made.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "amount is missing"), (["amount=1"], "expected a number in (0, 1)"), (["amount=x"], "expected a number"),
        (["amount=0.5", "scope=layers"], "no such scope"), (["amount=0.5", "rounds=0"], "expected a whole number"),
        (["amount=0.5", "scope=units", "rewind=true"], "rewind=true is only for scope=weights"),
        (["amount=0.5", "rewind=true", "gradual=true"], "choose one of them"),
        (["amount=0.5", "tune=false", "rounds=2"], "without training"),
        (["amount=0.5", "compress=[int8]"], "compress=[int8]: prune needs compress=prune"),
        (["amount=0.5", "compress.prune.scope=x"], "compress.prune.scope=x"),
    ],
)  # fmt: skip
def test_wrong_input_is_answered_in_a_line_and_leaves_nothing(run, say, tmp_path, words, message):  # noqa: F811
    code, _, said = say("prune", "run", "root=.", *words)
    assert (code, message in said) == (2, True), said
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_words_of_smaller_runs():
    assert remaining(0.75, 0.5, 1) == [0.25]
    assert remaining(0.9, 0.0, 3)[-1] == pytest.approx(0.1)
    tree = {"compress": {"int8": {"name": "int8", "begin": 0.5}, "rigl": {"name": "rigl"}}}
    assert sparser(tree, 0.9, 0.0) == [
        "compress=[prune,int8]", "compress.int8.begin=0.5", "compress.prune.sparsity=0.9", "compress.prune.end=0",
    ]  # fmt: skip
    assert narrower({"name": "cnn", "channels": [8, 16], "hidden": []}, 0.25) == ["model.channels=[2,4]"]
