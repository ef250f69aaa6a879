"""Whitening of image patches by the first convolution."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.schemas import schema
from trainctl.components.init.whiten import whiten
from trainctl.data import rows as data
from trainctl.errors import ConfigError
from trainctl.run import assemble
from trainctl.run.model import build_model
from trainctl.run.reporter import MultiReporter
from trainctl.settings import compose
from trainctl.store import restore
from trainctl.train import evaluation, loop

SMALL = (
    "dataset=digits", "model=airbench", "model.channels=[4,6]", "init=whiten", "loop.batch_size=300",
    "loop.epochs=null", "loop.max_steps=5", "output.plots=false",
)  # fmt: skip


def smooth_images(rows=64, depth=3, size=12):
    """Return images whose neighbouring pixels are alike, as in photographs."""
    noise = torch.randn(rows, depth, size, size, generator=torch.Generator().manual_seed(0))
    return functional.avg_pool2d(noise, 3, 1, 1) * 3 + noise[:, :1]


def first_layer(filters, *, eps=1e-9, size=2, images=None, **changes):
    torch.manual_seed(0)
    images = smooth_images() if images is None else images
    model = nn.Sequential(nn.Conv2d(images.shape[1], filters, size), nn.Conv2d(filters, 30, 3, padding=1))
    whiten(model=model, **{"eps": eps, "frozen": True, "dirac": True, "examples": lambda: images} | changes)
    return model


def responses(model, images):
    """Return what the first filters make of every patch ``(filters, patches)``, without their bias."""
    return functional.conv2d(images, model[0].weight).transpose(0, 1).flatten(1)


def test_its_responses_are_uncorrelated_and_of_mean_square_one_and_come_with_their_negatives():
    images = smooth_images()
    found = responses(first_layer(24), images)
    torch.testing.assert_close(found[1::2], -found[::2])
    torch.testing.assert_close(found[::2] @ found[::2].T / found.shape[1], torch.eye(12), rtol=0, atol=1e-3)


def test_fewer_filters_are_those_of_the_largest_eigenvalues_and_more_stay_as_drawn():
    whole = first_layer(24)[0].weight
    assert torch.equal(first_layer(7)[0].weight, whole[:7])
    torch.manual_seed(0)
    drawn = nn.Conv2d(3, 30, 2).weight
    more = first_layer(30)[0].weight
    assert torch.equal(more[:24], whole)
    assert torch.equal(more[24:], drawn[24:])
    sizes = whole[::2].flatten(1).norm(dim=1)  # one over the root of the eigenvalue
    assert torch.equal(sizes, sizes.sort().values)


def test_eps_keeps_directions_without_variance_small():
    images = smooth_images().mean((2, 3), keepdim=True).expand(-1, -1, 12, 12)  # no differences inside an image
    weight = first_layer(24, images=images, eps=0.01)[0].weight
    assert weight.flatten(1).norm(dim=1).max().item() == pytest.approx(10.0, rel=1e-3)


def test_portions_do_not_change_the_filters(monkeypatch):
    whole = first_layer(24)
    monkeypatch.setattr("trainctl.components.init.whiten.AT_ONCE", 17)
    torch.testing.assert_close(first_layer(24)[0].weight.abs(), whole[0].weight.abs(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dirac", [True, False])
def test_later_convolutions_pass_their_inputs_on_if_they_shall(dirac):
    model = first_layer(24, dirac=dirac)
    maps = torch.randn(2, 24, 5, 5)
    passed = functional.conv2d(maps, model[1].weight, padding=1)[:, :24]
    assert torch.equal(passed, maps) == dirac


@pytest.mark.parametrize("words", ["model=mlp", "model=rnn"])
def test_a_model_without_a_convolution_is_a_wrong_configuration(words):
    with pytest.raises(ConfigError, match="init=whiten needs a model that begins with a convolution: use model="):
        assemble.assemble(compose.compose(["dataset=digits", words, "init=whiten"]))


def test_a_run_shows_it_rows_as_the_model_sees_them(monkeypatch):
    monkeypatch.setattr(data, "MOST_EXAMPLES", 600)
    run = assemble.assemble(compose.compose([*SMALL]))
    rows = run.data.splits["train"].inputs
    shown = run.data.examples()
    assert torch.equal(shown, run.data.input_scale(rows[::3]))  # 1,257 rows
    (first,) = {module for module in [run.model[0]] if isinstance(module, nn.Conv2d)}
    expected = first_layer(8, eps=0.0005, images=shown)[0].weight
    assert torch.equal(first.weight, expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_frozen_filters_stay_through_weight_decay_penalties_projections_and_a_checkpoint(tmp_path, optimizer):
    words = [*SMALL, f"optimizer={optimizer}", "optimizer.weight_decay=0.1", "regularizer=[l2,max_norm,weight_clip]"]
    words += ["regularizer.l2.weight=0.1", "regularizer.max_norm.limit=0.5", "regularizer.weight_clip.limit=0.01"]
    settings = compose.compose(words)
    run = assemble.assemble(settings)
    before = {name: value.clone() for name, value in run.model.named_parameters()}
    loop.train(run, tmp_path, MultiReporter())
    after = dict(run.model.named_parameters())
    assert [name for name, value in after.items() if torch.equal(value, before[name])] == ["0.weight"]

    again = assemble.assemble(settings)
    with torch.no_grad():
        again.model[0].weight.zero_()
    restore.restore(again, restore.newest(tmp_path))
    assert torch.equal(again.model[0].weight, before["0.weight"])
    assert not again.model[0].weight.requires_grad


def test_filters_that_are_not_frozen_learn(tmp_path):
    run = assemble.assemble(compose.compose([*SMALL, "init.frozen=false"]))
    before = run.model[0].weight.detach().clone()
    loop.train(run, tmp_path, MultiReporter())
    assert not torch.equal(run.model[0].weight, before)


def test_a_model_whose_weights_are_loaded_needs_no_rows():
    settings = compose.compose([*SMALL])
    images = schema(input_shape=(1, 8, 8), class_names=tuple("0123456789"))
    model, _ = build_model(settings, images, torch.device("cpu"))
    assert model[0].weight.requires_grad  # was not touched


def test_where_neighbouring_pixels_are_alike_it_learns_sooner(tmp_path):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(600, 1, 4, 4, generator=generator)
    images = 128 + 50 * functional.interpolate(coarse, size=16, mode="bilinear")
    labels = torch.arange(600) % 4
    textures = torch.randn(4, 1, 16, 16, generator=generator)  # of low contrast before the smooth rest
    images = (images + 8 * textures[labels]).clamp(0, 255).byte()
    np.savez(tmp_path / "images.npz", inputs=images.numpy(), targets=labels.numpy())

    words = ["recipe=cifar10_speed", "dataset=arrays", f"dataset.path={tmp_path / 'images.npz'}", "device=cpu"]
    words += ["precision=fp32", "model.channels=[8,8]", "loop.batch_size=100", "loop.epochs=null", "loop.max_steps=15"]
    losses = []
    for init in ("whiten", "none"):
        run = assemble.assemble(compose.compose([*words, f"init={init}"]))
        loop.train(run, tmp_path, MultiReporter())
        losses.append(evaluation.evaluate(run.evaluation, "test")["test/loss"])
    assert losses[0] < losses[1] - 0.2
