"""The first batch is drawn as the model has seen it in its first step, whenever that is done."""

from dataclasses import replace

import pytest
import torch

from trainctl.report import batch_plot
from trainctl.run import assemble
from trainctl.settings import compose
from trainctl.step.eager import eager
from trainctl.step.part import ignore
from trainctl.step.pieces import pieces_of
from trainctl.train import first_batch

QUICK = ("output.plots=false", "threads=1")


def build(*words):
    return assemble.assemble(compose.compose([*words, *QUICK]))


@pytest.fixture
def drawn(monkeypatch):
    """Keep what is drawn instead of drawing it."""
    kept = []
    for name in ("images", "table", "texts", "series"):
        monkeypatch.setattr(batch_plot, name, lambda *given, name=name: kept.append((name, given)))
    return kept


def test_it_is_the_batch_of_the_first_step_at_any_step(tmp_path):
    run = build("dataset=digits", "augment=[translate,noise]", "model=linear")
    inputs, targets = next(iter(run.order.batches(0)))
    piece = next(iter(pieces_of(run, ignore)(inputs, targets, None)))
    step = eager(run)
    for batch, _ in zip(run.order.batches(0), range(3), strict=False):
        step(*batch)
        run.state.step += 1
    found = first_batch.first(run, 8)
    assert run.state.step == 3
    assert torch.equal(found.seen, piece.augmented[:8])
    assert not torch.equal(found.seen, inputs[:8])
    assert torch.equal(found.targets, targets)


def test_captions_of_mixed_rows_have_both_classes_and_their_shares():
    run = build("dataset=digits", "augment=[mixup]", "model=linear")
    batch = first_batch.first(run, 32)
    (mixing,) = batch.mixings
    shares = {round(float(mixing.weight), 2), round(1 - float(mixing.weight), 2)}
    named = first_batch.captions(run, batch)
    (mixed, *_) = [caption.split("\n") for caption in named if "\n" in caption]
    assert {float(part.split()[0]) for part in mixed} == shares
    classes = [run.data.schema.class_names[index] for index in batch.targets.tolist()]
    first = f"{float(mixing.weight):.2f}"
    for caption, own in zip(named, classes, strict=True):
        assert caption.removeprefix(f"{first} ").startswith(own)


def test_a_table_is_drawn_with_values_in_their_units_and_what_the_model_reads(drawn, tmp_path):
    run = build("dataset=iris", "model=linear")
    first_batch.draw(run, tmp_path / "batch.png", "about")
    ((kind, (names, scaled, cells, targets, title, about, path)),) = drawn
    assert (kind, names[0], about, path.name) == ("table", "sepal_length", "about", "batch.png")
    assert title == "First training batch: 16 of 32 rows"
    inputs, classes = next(iter(run.order.batches(0)))
    torch.testing.assert_close(torch.tensor(scaled), run.data.input_scale(inputs[:16]))
    assert cells[0] == [f"{value:.4g}" for value in inputs[0].tolist()]
    assert targets == [run.data.schema.class_names[index] for index in classes[:16].tolist()]


def test_numbers_to_predict_are_in_their_units(drawn, tmp_path):
    run = build("dataset=diabetes", "model=linear", "loss=mse")
    first_batch.draw(run, tmp_path / "batch.png", "")
    targets = drawn[0][1][3]
    _, scaled = next(iter(run.order.batches(0)))
    expected = run.data.target_scale.inverse(scaled[:16])[:, 0]
    assert [float(text) for text in targets] == pytest.approx(expected.tolist(), rel=1e-3)


def test_a_run_that_is_stopped_has_the_picture_too(drawn, tmp_path):
    run = build("dataset=digits", "model=autoencoder")
    first_batch.draw(replace(run, state=replace(run.state, step=7)), tmp_path / "batch.png", "")
    ((kind, (pictures, captions, *_)),) = drawn
    assert (kind, len(pictures), captions[:2]) == ("images", 24, ["row 0", "row 1"])
