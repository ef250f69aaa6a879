"""Teachers in whole runs: what is minimized, what is stored, what a stop, a deleted teacher or a hidden label changes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from tests.step import runs as steps
from tests.train.test_exact import bits, differences, settings, until
from trainctl import cli
from trainctl.components.dataset.base import Dataset
from trainctl.data import labels, load
from trainctl.errors import CheckpointError, ConfigError, Interrupted
from trainctl.finished import open as opening
from trainctl.finished.lineage import lineage
from trainctl.finished.reproduce import reproduce
from trainctl.finished.verify import verify
from trainctl.run import assemble
from trainctl.run.panel import Panel
from trainctl.run.parent import Parent
from trainctl.run.run import Evaluation, Run
from trainctl.settings import compose, config
from trainctl.step.eager import differentiate
from trainctl.step.engine import Engine
from trainctl.step.fused import trained_parameters
from trainctl.step.part import Piece, ignore
from trainctl.step.pieces import pieces_of
from trainctl.store import parents as stored
from trainctl.store import records, restore
from trainctl.train import cost, parentage, session

PLAIN = ("model.dropout=0", "loop.record=never")  # the model draws no random number
DROPPED = ("model.hidden=[7]", "model.dropout=0.4", "model.norm=batch", "scale=minmax", "seed=4")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run with dropout and batch norm, in another scaling."""
    directory = tmp_path_factory.mktemp("runs") / "teacher"
    session.begin(settings(*DROPPED), [], directory)
    return directory


def teaching(directory: Path, *overrides: str, also: tuple[Path, ...] = ()) -> config.Config:
    paths = ",".join(map(str, (directory, *also)))
    return settings("teacher=run", f"teacher.runs=[{paths}]", *overrides)


def built(chosen: config.Config) -> Run:
    return assemble.assemble(chosen, parents=parentage.find(chosen))


def piece(run: Run, step: int = 0) -> Piece:
    batch = next(run.order.batches(step))
    return next(iter(pieces_of(run, ignore)(batch[0], batch[1], batch[2] if len(batch) > 2 else None)))


def probabilities(parent: Parent, run: Run, rows: torch.Tensor) -> torch.Tensor:
    """Return what a run predicts for rows, by hand."""
    model = assemble.build_model(parent.config, parent.schema, run.device)[0].eval()
    model.load_state_dict(parent.model)
    with torch.no_grad():
        return model(parent.fitted.input_scale(rows)).softmax(1)


# What is minimized.


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_step_minimizes_the_formula(teacher: Path, is_stored: bool) -> None:
    """With stored answers, the gradient has a closed form, and the loss is that on the labels."""
    run = built(teaching(teacher, "teacher.temperature=3", "teacher.weight=0.7", *PLAIN))
    one = piece(run)
    p = probabilities(run.parents[0], run, one.inputs)
    z = run.model(run.data.input_scale(one.inputs))
    q, s = functional.softmax(p.log() / 3, 1), functional.log_softmax(z / 3, 1)
    wanted = 0.3 * functional.cross_entropy(z, one.targets) + 0.7 * 9 * (q * (q.log() - s)).sum(1).mean()
    part = differentiate(run)(one if is_stored else one._replace(taught=None))
    labels_alone = functional.cross_entropy(z, one.targets)
    torch.testing.assert_close(part.loss, (labels_alone if is_stored else wanted).detach())
    expected = torch.autograd.grad(wanted, trained_parameters(run.optimizer))
    for found, right in zip(part.gradients, expected, strict=True):
        torch.testing.assert_close(found, right)


def test_several_teachers_are_the_mean_of_their_probabilities(teacher: Path, tmp_path: Path) -> None:
    session.begin(settings("model.hidden=[3]", "seed=9"), [], tmp_path / "other")
    run = built(teaching(teacher, also=(tmp_path / "other",)))
    rows, _ = next(run.data.splits["train"].portions(50))
    wanted = sum(probabilities(parent, run, rows) for parent in run.parents) / 2
    assert isinstance(run.teacher.model, Panel)
    torch.testing.assert_close(run.teacher.model(rows).exp(), wanted)


def test_numbers_are_taught_in_the_units_of_the_run(tmp_path: Path) -> None:
    words = ("dataset=diabetes", "loss=mse", "model.hidden=[5]", "loop.batch_size=40", "loop.epochs=2")
    session.begin(settings(*words, "scale=minmax"), [], tmp_path / "t")
    run = built(teaching(tmp_path / "t", *words))
    parent, (rows, _) = run.parents[0], next(run.data.splits["train"].portions(9))
    model = assemble.build_model(parent.config, parent.schema, run.device)[0].eval()
    model.load_state_dict(parent.model)
    assert parent.fitted.target_scale is not None
    assert run.data.target_scale is not None
    assert isinstance(run.teacher.model, Panel)
    amounts = parent.fitted.target_scale.inverse(model(parent.fitted.input_scale(rows)))
    ours = run.data.target_scale.inverse(run.teacher.model(rows))
    torch.testing.assert_close(ours, amounts.detach(), rtol=1e-4, atol=1e-2)


def test_an_autoencoder_teaches_another_one(tmp_path: Path) -> None:
    words = ("model=autoencoder", "model.hidden=[5]", "model.bottleneck=2", "loss=mse")
    base = ("dataset=iris", "loop.batch_size=40", "loop.epochs=3", "output.plots=false", "threads=1")
    session.begin(compose.compose([*base, *words, "scale=minmax"]), [], tmp_path / "t")
    chosen = compose.compose([*base, *words, "model.hidden=[3]", "teacher=run", f"teacher.runs=[{tmp_path / 't'}]"])
    run = built(chosen)
    parent, (rows, _) = run.parents[0], next(run.data.splits["train"].portions(9))
    model = assemble.build_model(parent.config, parent.schema, run.device)[0].eval()
    model.load_state_dict(parent.model)
    rebuilt = parent.fitted.input_scale.inverse(model(parent.fitted.input_scale(rows)))
    assert isinstance(run.teacher.model, Panel)
    torch.testing.assert_close(run.data.input_scale.inverse(run.teacher.model(rows)), rebuilt.detach())
    session.begin(chosen, [], tmp_path / "new")
    assert "size" not in session.rundir.read_json(tmp_path / "new" / "summary.json")


# Which rows the teacher sees.


def test_answers_are_stored_without_augmentation_and_equal_those_computed_in_the_step(teacher: Path) -> None:
    run = built(teaching(teacher))
    assert run.taught is not None
    assert run.taught.shape == (106, 3)
    one = piece(run, 4)
    assert isinstance(run.teacher.model, Panel)
    torch.testing.assert_close(one.taught, run.teacher.says(run.teacher.model(one.inputs)))


@pytest.mark.parametrize(("view", "augment"), [("augmented", "noise"), ("plain", "noise"), ("plain", "mixup")])
def test_the_view_of_the_teacher(teacher: Path, view: str, augment: str) -> None:
    run = built(teaching(teacher, f"teacher.view={view}", f"augment=[{augment}]", *PLAIN))
    assert (run.taught is None) == (view == "augmented")
    one = piece(run)
    assert one.augmented is not None
    z = run.model(run.data.input_scale(one.augmented))

    def q(rows: torch.Tensor) -> torch.Tensor:
        return functional.softmax(probabilities(run.parents[0], run, rows).log() / 4, 1)

    if one.mixings:  # a mixture of what it says about the rows that were mixed
        share, partner = one.mixings[0].weight, one.mixings[0].partner
        words = share * q(one.inputs) + (1 - share) * q(one.inputs)[partner]
        known = share * functional.cross_entropy(z, one.targets) + (1 - share) * functional.cross_entropy(
            z, one.targets[partner]
        )
    else:
        words, known = q(one.augmented if view == "augmented" else one.inputs), functional.cross_entropy(z, one.targets)
    wanted = 0.1 * known + 0.9 * 16 * -(words * functional.log_softmax(z / 4, 1)).sum(1).mean()  # and a constant
    run.teacher_weight.fill_(0.9)
    gradients = differentiate(run)(one).gradients
    for found, right in zip(gradients, torch.autograd.grad(wanted, trained_parameters(run.optimizer)), strict=True):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-6)


def test_a_teacher_of_mixed_rows_sees_them_mixed(teacher: Path) -> None:
    run = built(teaching(teacher, "augment=[mixup]", *PLAIN))
    one = piece(run)
    assert one.augmented is not None
    z = run.model(run.data.input_scale(one.augmented))
    q = functional.softmax(probabilities(run.parents[0], run, one.augmented).log() / 4, 1)
    share, partner = one.mixings[0].weight, one.mixings[0].partner
    known = share * functional.cross_entropy(z, one.targets) + (1 - share) * functional.cross_entropy(
        z, one.targets[partner]
    )
    wanted = 0.1 * known + 0.9 * 16 * (q * (q.log() - functional.log_softmax(z / 4, 1))).sum(1).mean()
    run.teacher_weight.fill_(0.9)
    torch.testing.assert_close(differentiate(run)(one).loss, wanted.detach())


def test_a_teacher_is_in_evaluation_mode_and_its_bytes_do_not_change(teacher: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(teacher.rglob("*")) if path.is_file()}
    chosen = teaching(teacher, "augment=[noise]")
    run = built(chosen)
    assert isinstance(run.teacher.model, Panel)
    assert not any(module.training for module in run.teacher.model.modules())
    rows, _ = next(run.data.splits["train"].portions(20))
    assert torch.equal(run.teacher.model(rows), run.teacher.model(rows))  # dropout is off
    weights = {key: value.clone() for key, value in run.teacher.model.state_dict().items()}
    steps.train(run, Engine(run, lambda line: None).take, 6)
    assert all(torch.equal(value, weights[key]) for key, value in run.teacher.model.state_dict().items())
    session.begin(chosen, [], tmp_path / "new")
    assert {path: path.read_bytes() for path in sorted(teacher.rglob("*")) if path.is_file()} == before
    assert not any(name.startswith("teacher.") for name in restore.newest(tmp_path / "new").tensors("last"))


# Rows without a label.

FEW = ("split.labels=20", "loop.batch_size=8")


def test_pseudo_labels_are_those_of_the_plain_row(monkeypatch: pytest.MonkeyPatch) -> None:
    run = assemble.assemble(
        settings(
            *FEW, "teacher=self", "teacher.threshold=0.4", "augment=[noise]", "model.dropout=0.5", "loop.record=never"
        )
    )
    one = piece(run)
    run.model.eval()
    with torch.no_grad():
        p = run.model(run.data.input_scale(one.inputs[8:])).softmax(1)
    run.model.train()
    assert int((p.max(1).values >= 0.4).sum()) > 0
    torch.manual_seed(5)
    assert one.augmented is not None
    z = run.model(run.data.input_scale(one.augmented))
    each = functional.cross_entropy(z[8:], p.argmax(1), reduction="none") * (p.max(1).values >= 0.4)
    wanted = functional.cross_entropy(z[:8], one.targets) + 0.5 * each.mean()
    run.teacher_weight.fill_(0.5)
    torch.manual_seed(5)
    part = differentiate(run)(one)
    torch.testing.assert_close(part.loss, wanted.detach())
    assert all(module.training for module in run.model.modules())
    assert part.seen is not None
    assert len(part.seen.targets) == len(part.seen.outputs) == 8  # metrics count rows with a label
    torch.testing.assert_close(part.seen.loss, functional.cross_entropy(z[:8], one.targets).detach())


def test_mean_teacher_compares_all_rows() -> None:
    run = assemble.assemble(settings(*FEW, "teacher=mean", *PLAIN))
    steps.train(run, Engine(run, lambda line: None).take, 3)
    one = piece(run, 3)
    assert run.teacher.model is not None
    z, other = run.model(run.data.input_scale(one.inputs)), run.teacher.model(run.data.input_scale(one.inputs))
    distances = ((z.softmax(1) - other.softmax(1)) ** 2).sum(1)
    assert float(distances.detach().max()) > 1e-6
    run.teacher_weight.fill_(1.5)
    wanted = functional.cross_entropy(z[:8], one.targets) + 1.5 * distances.mean()
    torch.testing.assert_close(differentiate(run)(one).loss, wanted.detach())


@pytest.mark.parametrize("name", ["run", "self", "mean"])
def test_micro_batches_add_up_to_the_batch(teacher: Path, name: str) -> None:
    words = (*FEW, *PLAIN, f"teacher={name}")
    words += (f"teacher.runs=[{teacher}]",) if name == "run" else ()
    words += ("teacher.threshold=0",) if name == "self" else ()
    runs = [built(settings(*words, f"loop.micro_batches={parts}", "teacher.unlabeled_factor=3")) for parts in (1, 3)]
    whole, parts = [], []
    for run, found in zip(runs, (whole, parts), strict=True):
        run.teacher_weight.fill_(0.7)
        batch = next(run.order.batches(2))
        assert len(batch[0]) == 8 + 24
        # the stored answers of a fixed teacher change the gradient alone
        for each in pieces_of(run, ignore)(*batch, *([None] if len(batch) == 2 else [])):
            found.append(differentiate(run)(each))
    assert len(parts) == 3
    total = parts[0].plus(parts[1]).plus(parts[2])
    torch.testing.assert_close(total.loss, whole[0].loss)
    for found, right in zip(total.gradients, whole[0].gradients, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-6)


def test_rows_are_mixed_only_with_their_kind() -> None:
    run = assemble.assemble(settings(*FEW, "teacher=self", "augment=[mixup]", "loop.record=never"))
    one = piece(run)
    assert [len(one.mixings[0].partner), len(one.unlabeled_mixings[0].partner)] == [8, 32]
    assert not torch.equal(one.mixings[0].weight, one.unlabeled_mixings[0].weight)
    assert torch.isfinite(differentiate(run)(one).loss)


def remembered(function: Callable[..., object]) -> Callable[..., object]:
    """Return a function that always returns what it did in its first call."""
    answers: list[object] = []

    def again(*given: object, **named: object) -> object:
        if not answers:
            answers.append(function(*given, **named))
        found = answers[0]
        return dict(found) if isinstance(found, dict) else found

    return again


@pytest.mark.slow
@pytest.mark.parametrize("name", ["self", "mean", "none"])
@pytest.mark.parametrize("kind", ["digits", "diabetes"])
def test_garbage_in_place_of_hidden_labels_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """Only the choice of rows, which is stratified, has seen them."""
    if (name, kind) == ("self", "diabetes"):
        name = "mean"
    loss = ("loss=mse",) if kind == "diabetes" else ("loss.class_weights=balanced", "loss=cross_entropy")
    chosen = compose.compose([
        f"dataset={kind}", *reversed(loss), f"teacher={name}", "split.labels=40", "loop.epochs=2", "model.hidden=[5]",
        "output.plots=false", "threads=1", "clean=impute",
    ])  # fmt: skip
    monkeypatch.setattr(load, "split_rows", remembered(load.split_rows))
    monkeypatch.setattr(labels, "choose", remembered(labels.choose))
    session.begin(chosen, [], tmp_path / "right")
    rows, kept = load.split_rows(), labels.choose()
    real = load.read

    def poisoned(*given: object, **named: object) -> Dataset:
        dataset = real(*given, **named)
        hidden = rows["train"][~torch.isin(rows["train"], kept)]
        targets = dataset.targets.clone()
        targets[hidden] = (
            targets[hidden].flip(0) if kind == "digits" else 1e6 * torch.arange(len(hidden)).float()[:, None]
        )
        assert not torch.equal(targets, dataset.targets)
        return replace(dataset, targets=targets)

    monkeypatch.setattr(load, "read", poisoned)
    session.begin(chosen, [], tmp_path / "garbage")
    assert bits(tmp_path / "garbage") == bits(tmp_path / "right")
    facts = [records.read_json(tmp_path / one / "run.json")["data"] for one in ("right", "garbage")]
    assert facts[0] == facts[1]  # the fingerprint, too
    summaries = [records.read_json(tmp_path / one / "summary.json")["metrics"] for one in ("right", "garbage")]
    assert summaries[0] == summaries[1]


def test_a_reconstruction_learns_from_rows_without_a_label() -> None:
    words = ("model=autoencoder", "model.hidden=[5]", "model.bottleneck=2", "loss=mse", "split.labels=50")
    run = assemble.assemble(compose.compose(["dataset=digits", *words]))
    assert run.data.without_label is None
    assert len(run.data.splits["train"]) == 1257


# How steps are taken, and what a stop changes.

WAYS = {
    "self": (*FEW, "teacher=self", "teacher.threshold=0.4", "teacher.ramp_fraction=0.3", "augment=[noise]", "model.dropout=0.2"),
    "mean": (*FEW, "teacher=mean", "model.norm=batch", "average=swa", "average.start_fraction=0.2", "loop.micro_batches=2"),
    "stored": (*FEW, "teacher=run"),
    "seen": ("teacher=run", "augment=[noise]", "model.dropout=0.2"),
    "mixed": (*FEW, "teacher=run", "augment=[mixup]"),
}  # fmt: skip


def way(name: str, teacher: Path) -> config.Config:
    words = WAYS[name]
    return settings(*words, *([f"teacher.runs=[{teacher}]"] if "teacher=run" in words else []))


@pytest.mark.parametrize("name", WAYS)
def test_a_recorded_step_has_the_same_bits(teacher: Path, name: str) -> None:
    chosen = way(name, teacher)
    run = built(chosen)
    expected = steps.train(run, steps.eager(run), 14)
    engine = Engine(built(chosen), pytest.fail)  # only now, because it seeds the generators
    found = steps.train(engine.run, engine.take, 14)
    assert str(engine) == ("recorded" if name != "mixed" else "eager: rows are mixed")
    assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))


@pytest.mark.parametrize("name", ["self", "mean"])
def test_all_that_changes_is_in_the_checkpoint(tmp_path: Path, teacher: Path, name: str) -> None:
    assert differences(way(name, teacher), tmp_path / "run", lambda run: None) == []


def test_a_mean_teacher_that_is_lost_would_be_noticed(tmp_path: Path, teacher: Path) -> None:
    def spoil(run: Run) -> None:
        for tensor in run.teacher.changing_tensors.values():
            tensor.zero_()

    assert any("teacher" in path for path in differences(way("mean", teacher), tmp_path / "run", spoil))


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_no_stop_changes_a_bit(tmp_path: Path, teacher: Path, name: str) -> None:
    chosen = way(name, teacher)
    total = built(chosen).plan.total_steps
    session.begin(chosen, [], tmp_path / "whole")
    for cut in (1, total // 2, total - 1):
        with pytest.raises(Interrupted):
            session.begin(until(chosen, cut), [], tmp_path / str(cut))
        session.resume(chosen, [], tmp_path / str(cut))
        assert bits(tmp_path / str(cut)) == bits(tmp_path / "whole"), cut


def test_with_all_parents_deleted_a_run_resumes_verifies_and_reproduces(tmp_path: Path, teacher: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(teacher, copy)
    chosen = teaching(copy, "split.labels=20", "loop.batch_size=8", "teacher.view=plain", "augment=[noise]")
    session.begin(chosen, [], tmp_path / "whole")
    with pytest.raises(Interrupted):
        session.begin(until(chosen, 3), [], tmp_path / "cut")
    shutil.rmtree(copy)
    session.resume(chosen, [], tmp_path / "cut")
    assert bits(tmp_path / "cut") == bits(tmp_path / "whole")
    finished = opening.open(tmp_path / "whole", [], [], [])
    assert not verify(finished, "start", None).difference
    assert not reproduce(opening.open(tmp_path / "whole", [], [], []), tmp_path / "again").difference
    assert [(one.role, one.name) for one in lineage(tmp_path / "whole")] == [("", "whole"), ("teacher", "copy")]
    weights = next((tmp_path / "cut" / "parents").rglob("weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError):
        stored.read(tmp_path / "cut", [])


# What does not fit.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dataset=wine",), r"its (row shape|number of outputs|task)"),
        (("dataset=diabetes", "loss=mse"), "its task is a classification, but the run's is a regression"),
        (("dataset=digits",), "its number of outputs is 3, but the run's is 10|its row shape"),
    ],
)
def test_a_teacher_of_other_data_is_refused(teacher: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        built(teaching(teacher, *words))


def test_no_teacher_is_named() -> None:
    with pytest.raises(ConfigError, match=r"teacher.runs=\[\]"):
        built(settings("teacher=run"))


# The command.


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["trainctl", *words])
    code = cli.main()
    out, err = capsys.readouterr()
    return code, out, err


def test_distill_prints_the_command_that_it_stands_for_and_what_both_models_cost(
    tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = said(capsys, monkeypatch, "distill", str(teacher), "model.hidden=[2]", "loop.epochs=1")
    assert code == 0
    first = out.splitlines()[0]
    assert first.startswith("the same as: trainctl ")
    assert f"teacher=run 'teacher.runs=[{teacher}]'" in first
    assert "scale=minmax" in first
    assert "not zero" in out
    (made,) = (path for path in (tmp_path / "runs").iterdir() if path.name[0] != ".")
    size = records.read_summary(made).size
    assert size is not None
    assert size.before is not None
    model = assemble.assemble(settings(*DROPPED)).model
    assert size.before.parameters == sum(weight.numel() for weight in model.parameters())
    best = restore.newest(teacher).manifest.state["best"]["value"]
    assert size.before.value == pytest.approx(best, rel=1e-4)
    facts = records.read_facts(made)
    assert facts.made_by is not None
    assert facts.made_by.verb == "distill"
    assert [parent.role for parent in facts.parents] == ["teacher"]
    code, out, _ = said(capsys, monkeypatch, "compare", str(made), str(teacher))
    assert code == 0
    assert "ms a row, batch of 128" in out


def test_the_weights_of_a_teacher_of_8_bits_are_rounded_once(tmp_path: Path) -> None:
    session.begin(settings("compress=[int8]", "loop.max_steps=2", "model.norm=none"), [], tmp_path / "small")
    run = built(teaching(tmp_path / "small"))
    assert run.teacher.model is not None
    fixed = [bool(module.fixed) for module in run.teacher.model.modules() if hasattr(module, "fixed")]
    assert fixed
    assert all(fixed)
    rows = run.data.splits["val"].sample(9)[0]
    opened = opening.open(tmp_path / "small", [], [], ())
    model, *_ = opening.load_model(opened, opened.weights("best"))
    with torch.no_grad():
        expected = model(run.data.input_scale(rows)).log_softmax(1)
        assert torch.equal(run.teacher.model(rows), expected)


def test_the_time_of_a_teacher_is_that_of_its_model_alone(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []

    def milliseconds(evaluation: Evaluation, size: int) -> float:
        timed.append(type(evaluation.model).__name__)
        return 1.0

    monkeypatch.setattr(cost, "milliseconds", milliseconds)
    other = tmp_path / "other"
    session.begin(settings("seed=9", "loop.max_steps=1"), [], other)
    session.begin(teaching(teacher, "loop.max_steps=1", also=(other,)), [], tmp_path / "new")
    size = records.read_summary(tmp_path / "new").size
    assert size is not None
    assert size.before is not None
    assert (size.ms_1, size.before.ms_1, size.before.ms_128) == (1.0, 2.0, 2.0)
    assert set(timed) == {"Sequential"}


def test_a_teacher_s_cost_is_compared_although_it_was_measured_with_its_student(
    tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mother = tmp_path / "mother"
    shutil.copytree(teacher, mother)
    session.begin(teaching(mother, "model.hidden=[2]", "loop.max_steps=1"), [], tmp_path / "kid")

    def cells() -> list[str]:
        code, out, _ = said(capsys, monkeypatch, "compare", str(mother), str(tmp_path / "kid"))
        assert code == 0
        return next(line.split()[-2:] for line in out.splitlines() if line.startswith("not zero"))

    mothers, kids = cells()
    assert int(mothers) > int(kids)
    (mother / "config.yaml").write_text((mother / "config.yaml").read_text() + "\n")
    assert cells() == ["-", kids]  # it has changed since


def test_what_made_the_teacher_what_it_is_is_not_done_to_its_student(
    tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ("compress=[prune]", "compress.prune.sparsity=0.5", "freeze=body", "layer_decay=0.5", "head_lr_factor=2")
    start = ("init=run", f"init.run={teacher}", "split.labels=40")
    session.begin(settings(*DROPPED, *own, *start), [], tmp_path / "made")
    code, out, err = said(capsys, monkeypatch, "distill", "made", "root=.", "loop.max_steps=2", "output.root=new")
    assert code == 0, err
    assert not any(word in out.splitlines()[0] for word in ("compress", "freeze", "init", "layer_decay", "head_lr"))
    assert "split.labels=40" in out.splitlines()[0]
    assert "not taken over from the teacher, whose own they are: " in err
    for word in ("init=run", "compress=[prune]", "freeze=body", "layer_decay=0.5", "head_lr_factor=2"):
        assert f" {word}" in err
    assert (
        "note: split.labels=40, as for the teacher: all other training rows are learned from the teacher alone" in err
    )
    (new,) = (path for path in (tmp_path / "new").iterdir() if path.name[0] != ".")
    assert [parent.role for parent in records.read_facts(new).parents] == ["teacher"]
    assert all(bool(weight.all()) for name, weight in restore.newest(new).tensors("last").items() if ".weight" in name)


def test_what_is_typed_for_a_student_is_its_own(
    tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session.begin(settings(*DROPPED, "compress=[prune]", "compress.prune.sparsity=0.5"), [], tmp_path / "made")
    words = ("compress.prune.sparsity=0.3", "split.labels=30", "layer_decay=0.9", "loop.max_steps=1")
    code, out, err = said(capsys, monkeypatch, "distill", "made", "root=.", *words)
    assert code == 0, err
    assert "'compress=[prune]'" in out.splitlines()[0]
    assert "compress.prune.sparsity=0.3" in out.splitlines()[0]
    assert "not taken over" not in err
    assert "as for the teacher" not in err


def test_what_distill_answers_to_mistakes(
    teacher: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(capsys, monkeypatch, "distill", str(teacher), str(teacher))[0] == 2
    assert said(capsys, monkeypatch, "distill", "nowhere")[0] == 4
    assert said(capsys, monkeypatch, "distill", str(teacher), "tolerance=-1")[0] == 2
    code, _, err = said(
        capsys, monkeypatch, "distill", str(teacher), "model.hidden=[1]", "loop.max_steps=1", "tolerance=0.0001"
    )
    assert code == 9
    assert "the new run is complete and was kept" in err
