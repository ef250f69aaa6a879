"""A run that starts from another one: what is frozen keeps every bit, stops change nothing, parents may be deleted."""

import shlex
import shutil
from pathlib import Path

import pytest
import torch

from tests.train.test_exact import bits, settings, until
from trainctl import cli
from trainctl.errors import CheckpointError, Interrupted
from trainctl.finished import open as opening
from trainctl.finished.lineage import lineage, state_of
from trainctl.finished.reproduce import reproduce
from trainctl.finished.verify import verify
from trainctl.run import assemble
from trainctl.run.layers import layers
from trainctl.settings import component, compose, derive
from trainctl.store import parents as stored
from trainctl.store import records, restore
from trainctl.train import cost, parentage, session

TWO = ("model.hidden=[6,5]", "model.norm=batch", "model.dropout=0.1")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trained run with three layers and batch norm."""
    directory = tmp_path_factory.mktemp("runs") / "old"
    session.begin(settings(*TWO), [], directory)
    return directory


def from_(old: Path, *overrides: str):
    return settings(*TWO, "init=run", f"init.run={old}", *overrides)


def last(directory: Path) -> dict[str, torch.Tensor]:
    return restore.newest(directory).tensors("last")


def held(directory: Path, old: Path, count: int) -> list[str]:
    """Return the tensors of the first layers that differ from the best weights of the old run."""
    before, now = restore.newest(old).tensors("best"), last(directory)
    model = assemble.assemble(settings(*TWO)).model
    names = [name for layer in layers(model)[:count] for name in layer.tensors]
    return [name for name in names if not torch.equal(before[f"model.{name}"], now[f"model.{name}"])]


@pytest.mark.slow
def test_an_encoder_becomes_a_classifier_with_its_own_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = compose.compose(
        ["model=autoencoder", "model.hidden=[20]", "model.bottleneck=6", "loop.max_steps=3", "output.plots=false"]
    )
    session.begin(encoder, [], tmp_path / "encoder")
    monkeypatch.setattr(cost, "SECONDS", 0.0)

    def finetune(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["trainctl", "finetune", "encoder", "root=.", "output.root=new", *words])
        return cli.main(), *capsys.readouterr()

    code, out, err = finetune("model=mlp", "split.labels=30", "loop.max_steps=3")
    assert code == 0, err
    assert "'model.hidden=[20,6]'" in out.splitlines()[0]
    assert "loss" not in out.splitlines()[0]
    (new,) = (path for path in (tmp_path / "new").iterdir() if path.name[0] != ".")
    starts = [entry["state"] for entry in records.read_json(new / "run.json")["starts"]]
    assert starts == ["taken", "taken", "new"]
    assert records.read_summary(new).size is not None
    code, _, err = finetune("model=mlp", "model.hidden=[9]", "loop.max_steps=1")
    assert code == 4
    assert "1: 1.weight has shape 20x64 there, 9x64 here; 3: layers differ from 1 on" in err


def test_an_encoder_with_convolutions_starts_no_other_model_however_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("model=autoencoder", "model.channels=[4]", "model.hidden=[]", "model.bottleneck=3", "loop.max_steps=1")
    session.begin(compose.compose([*words, "output.plots=false"]), [], tmp_path / "encoder")
    said = []
    for typed in (["finetune", "encoder", "root=."], ["init=run", "init.run=encoder", "output.root=."]):
        monkeypatch.setattr("sys.argv", ["trainctl", *typed, "model=cnn", "model.channels=[4]", "model.norm=none"])
        assert cli.main() == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert "model=cnn: the encoder of this run has convolutions of stride 2 (model.channels=[4])" in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


def test_finetune_and_the_command_that_it_stands_for_print_the_same(
    tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lines(*words: str) -> tuple[list[str], list[str]]:
        monkeypatch.setattr("sys.argv", ["trainctl", *words])
        assert cli.main() == 0
        out, err = capsys.readouterr()
        kept = [line for line in out.splitlines() if line.startswith(("weights", "inputs", "best", "the same"))]
        return kept, [line for line in err.splitlines() if "the weights of" in line]

    (command, *shown), notes = lines("finetune", str(old), "model.activation=tanh", "loop.max_steps=2")
    assert len(notes) == 1
    assert lines(*shlex.split(command.removeprefix("the same as: trainctl "))) == (shown, notes)


OPTIMIZERS = [name for name in component.names("optimizer") if name != "whatever"]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_frozen_body_keeps_every_bit_with_every_optimizer(tmp_path: Path, old: Path, optimizer: str) -> None:
    harsh = ("regularizer=[l1,l2,max_norm]", "average=ema", "loop.clip_norm=0.5", "loop.micro_batches=2")
    config = from_(old, "freeze=body", f"optimizer={optimizer}", *harsh)
    session.begin(config, [], tmp_path / "new")
    assert held(tmp_path / "new", old, 2) == []
    assert held(tmp_path / "new", old, 3) != []


def test_what_is_thawed_is_trained_and_no_stop_changes_a_bit(tmp_path: Path, old: Path) -> None:
    config = from_(old, "freeze=gradual", "freeze.every_epochs=1", "optimizer=sgd", "optimizer.momentum=0.9")
    session.begin(config, [], tmp_path / "whole")
    expected = bits(tmp_path / "whole")
    assert held(tmp_path / "whole", old, 1) != []  # thawed in the third epoch
    for cut in (1, 2, 3, 4, 6, 7):  # before, at and after the thaw of each layer: three steps an epoch
        directory = tmp_path / str(cut)
        with pytest.raises(Interrupted):
            session.begin(until(config, cut), [], directory)
        if cut == 3:
            assert held(directory, old, 2) == []
            assert held(directory, old, 3) != []
        if cut == 6:
            assert held(directory, old, 1) == []
        session.resume(config, [], directory)
        assert bits(directory) == expected


def test_freezing_until_an_epoch(tmp_path: Path, old: Path) -> None:
    config = from_(old, "freeze=body", "freeze.until_epoch=1")
    with pytest.raises(Interrupted):
        session.begin(until(config, 3), [], tmp_path / "new")
    assert held(tmp_path / "new", old, 2) == []
    session.resume(config, [], tmp_path / "new")
    assert held(tmp_path / "new", old, 1) != []


def test_a_recorded_step_follows_the_thaw(tmp_path: Path, old: Path) -> None:
    config = from_(old, "freeze=body", "freeze.until_epoch=2", "loop.epochs=4", "model.dropout=0.0")
    session.begin(config, [], tmp_path / "recorded")
    eager = from_(old, "freeze=body", "freeze.until_epoch=2", "loop.epochs=4", "model.dropout=0.0", "loop.record=never")
    session.begin(eager, [], tmp_path / "eager")
    one, other = last(tmp_path / "recorded"), last(tmp_path / "eager")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_layer_decay_lowers_the_rate_of_each_layer_towards_the_input(old: Path) -> None:
    run = assemble.assemble(settings(*TWO, "layer_decay=0.5", "optimizer.lr=0.8"))
    parameters = dict(run.model.named_parameters())
    rates = {id(each): group["initial_lr"] for group in run.optimizer.param_groups for each in group["params"]}
    found = [{rates[id(parameters[name])] for name in layer.parameters} for layer in layers(run.model)]
    assert found == [{0.2}, {0.4}, {0.8}]
    assert run.optimizer.param_groups[0]["initial_lr"] == 0.8  # the rate that is reported


def test_the_output_layer_can_have_a_rate_of_its_own(old: Path) -> None:
    run = assemble.assemble(settings(*TWO, "layer_decay=0.5", "head_lr_factor=10", "optimizer.lr=0.8"))
    parameters = dict(run.model.named_parameters())
    rates = {id(each): group["initial_lr"] for group in run.optimizer.param_groups for each in group["params"]}
    found = [{rates[id(parameters[name])] for name in layer.parameters} for layer in layers(run.model)]
    assert found == [{0.2}, {0.4}, {8.0}]
    assert run.optimizer.param_groups[0]["initial_lr"] == 0.4  # of the layer before it, which is reported


def test_everything_works_with_the_parent_deleted(tmp_path: Path, old: Path) -> None:
    mother = tmp_path / "mother"
    shutil.copytree(old, mother)
    before = {path: path.read_bytes() for path in mother.rglob("*") if path.is_file()}
    config = from_(mother, "model.hidden=[12,5]")
    with pytest.raises(Interrupted):
        session.begin(until(config, 4), [], tmp_path / "new")
    assert {path: path.read_bytes() for path in mother.rglob("*") if path.is_file()} == before
    session.begin(config, [], tmp_path / "whole")
    (fact,) = records.read_facts(tmp_path / "new").parents
    assert (fact.role, fact.name, state_of(fact)) == ("start", "mother", "unchanged")
    (mother / "config.yaml").write_text((mother / "config.yaml").read_text() + "\n")
    assert state_of(fact) == "changed"
    shutil.rmtree(mother)
    assert [each.state for each in lineage(tmp_path / "new")] == ["", "gone"]
    session.resume(config, [], tmp_path / "new")
    assert bits(tmp_path / "new") == bits(tmp_path / "whole")
    run = opening.open(tmp_path / "new", [], [], [])
    assert verify(run, "start", None).difference == ""
    assert reproduce(run, tmp_path / "again").difference == ""
    assert [each.name for each in lineage(tmp_path / "again")] == ["again", "mother"]


def test_scaling_is_that_of_the_parent_and_is_saved(tmp_path: Path, old: Path) -> None:
    config = from_(old, "scale=minmax", "split.seed=5")
    run = assemble.assemble(config, parents=parentage.find(config))
    before = opening.open(old, [], [], []).weights("best").fitted
    assert torch.equal(run.data.input_scale.factor, before.input_scale.factor)
    other = assemble.assemble(settings(*TWO, "scale=minmax", "split.seed=5"))
    assert not torch.equal(run.data.input_scale.factor, other.data.input_scale.factor)


@pytest.mark.parametrize("damage", ["weights.safetensors", "parent.json", "config.yaml"])
def test_a_damaged_copy_of_a_parent_is_an_error(tmp_path: Path, old: Path, damage: str) -> None:
    config = from_(old)
    with pytest.raises(Interrupted):
        session.begin(until(config, 2), [], tmp_path / "new")
    path = tmp_path / "new" / "parents" / "0" / damage
    content = path.read_bytes()
    for broken in (content[:-9], b"", content.replace(b"0", b"1", 1)):
        if damage == "config.yaml" and broken:
            continue
        path.write_bytes(broken)
        with pytest.raises(CheckpointError):
            session.resume(config, [], tmp_path / "new")
    path.unlink()
    (path.parent / "x").symlink_to("/etc/passwd")
    path.symlink_to("/etc/passwd")
    with pytest.raises(CheckpointError):
        stored.read(tmp_path / "new", [])


def test_words_compose_what_they_describe() -> None:
    for words in (
        [],
        ["dataset=csv", "dataset.path=/tmp/a b,c.csv", "dataset.target=y", "monitor=val/accuracy"],
        ["augment=[flip,crop]", "augment.crop.padding=3", "optimizer=sgd", "loop.max_steps=7"],
        ["recipe=mnist_cnn"],
    ):
        config = compose.compose(words)
        assert compose.compose(derive.words_of(config.tree)).tree == config.tree
    config, _ = derive.derived(config.tree, ["model=mlp", "loop.max_steps=3"])
    assert (config.parts["model"]["name"], config.loop.epochs, config.loop.max_steps) == ("mlp", None, 3)
    assert config.parts["dataset"]["name"] == "mnist"


def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["trainctl", *words])
    code = cli.main()
    return code, *capsys.readouterr()


def test_finetune_prints_the_command_that_it_stands_for(
    tmp_path: Path, old: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = say(capsys, monkeypatch, "finetune", str(old), "loop.epochs=1")
    assert code == 0
    first = out.splitlines()[0]
    assert first.startswith("the same as: trainctl dataset=iris")
    assert f"init.run={old}" in first
    assert out.count("taken,") == 3
    code, out, _ = say(capsys, monkeypatch, "lineage", "last")
    assert code == 0
    assert "  start old  step" in out
    code, _, err = say(capsys, monkeypatch, "finetune", str(old), "model=cnn", "dataset=digits")
    assert (code, err.count("\n")) == (4, 1)
    assert "none of its weights fit this model" in err
    code, _, err = say(capsys, monkeypatch, "finetune", "nowhere")
    assert code == 4
    code, _, err = say(capsys, monkeypatch, "init=run")
    assert (code, err) == (2, "trainctl: init=run needs init.run=RUN, the directory of a run\n")
