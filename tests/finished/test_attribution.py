"""Attributions add up to the change of the score for every model, and equal independent computations."""

import importlib.util
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from tests.schemas import schema
from trainctl.components.model.airbench import airbench
from trainctl.components.model.autoencoder import autoencoder
from trainctl.components.model.cnn import cnn
from trainctl.components.model.linear import linear
from trainctl.components.model.mlp import mlp
from trainctl.components.model.resnet import resnet
from trainctl.components.model.rnn import rnn
from trainctl.finished.attribution import integrated_gradients, nodes, occlusion, patches, saliency
from trainctl.finished.question import Question, differentiable, question, view

IMAGE, TABLE, SERIES, LENGTH, TOKENS = (1, 8, 8), (6,), (9, 3), 7, 11
CNN = partial(
    cnn, channels=[4, 4], kernel_size=3, padding="same", pooling="max", pool=2, activation="relu", dropout=0.2, hidden=[8],
    hidden_dropout=0.2, input_shape=IMAGE, outputs=3,
)  # fmt: skip
RNN = partial(
    rnn, activation="tanh", hidden_size=8, layers=2, pooling="last", embedding_size=5, dropout=0.3, outputs=3,
    input_shape=SERIES, vocabulary_size=0, bidirectional=False, norm="none",
)  # fmt: skip
AUTO = partial(autoencoder, kernel_size=3, hidden=[8], bottleneck=4, activation="relu", norm="none", dropout=0.1)
MODELS = {
    "linear": (partial(linear, outputs=3, input_shape=TABLE), TABLE),
    **{
        f"mlp {norm}": (
            partial(mlp, hidden=[16, 16], activation="relu", norm=norm, dropout=0.2, outputs=3, input_shape=TABLE), TABLE,
        )
        for norm in ("none", "batch", "layer", "group")
    },
    **{f"cnn {norm}": (partial(CNN, norm=norm), IMAGE) for norm in ("none", "batch", "layer", "group")},
    "resnet": (
        partial(resnet, depth=8, width=0.25, shortcut="B", norm="batch", activation="relu", dropout=0.1, outputs=3,
                input_shape=IMAGE), IMAGE,
    ),
    "airbench": (
        partial(airbench, channels=[4], kernel_size=2, norm="batch", activation="gelu", output_factor=0.5, outputs=3,
                input_shape=IMAGE), IMAGE,
    ),
    **{f"rnn {cell}": (partial(RNN, cell=cell), SERIES) for cell in ("rnn", "gru", "lstm")},
    "rnn on images": (partial(RNN, cell="gru", input_shape=IMAGE), IMAGE),
    "rnn both ways": (partial(RNN, cell="lstm", bidirectional=True, pooling="mean", norm="layer"), SERIES),
}  # fmt: skip
TEXTS = {
    f"{cell} {pooling}{' both ways' if both else ''}": partial(
        RNN, cell=cell, pooling=pooling, bidirectional=both, input_shape=(LENGTH,), vocabulary_size=TOKENS
    )
    for cell, pooling, both in (
        ("lstm", "last", False),
        ("gru", "mean", True),
        ("rnn", "last", True),
        ("lstm", "mean", False),
    )
}
LOG_ODDS = Question("classification", "log_odds", None, "", None)


def built(build):
    """Return a model with large weights and running statistics of its own, in evaluation mode."""
    torch.manual_seed(0)
    model = build()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def explained(model, rows, baseline, asked=LOG_ODDS, *, most_steps=2048, portion=100, fewest=16, **fields):
    seen = view(model, schema(**fields))
    chosen = asked.chosen(model(rows)) if asked.task != "reconstruction" else torch.zeros(len(rows), dtype=torch.long)
    points = seen.points(rows)
    with differentiable(model):
        return integrated_gradients(
            seen.score(asked, rows, chosen), points, baseline.expand_as(points), most_steps=most_steps, portion=portion,
            fewest_steps=fewest,
        )  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_attributions_of_every_model_add_up(name):
    build, shape = MODELS[name]
    model, rows = built(build), torch.randn(5, *shape)
    found = explained(model, rows, torch.zeros(1, *shape))
    assert found.complete.all(), found.gap
    with torch.no_grad():
        outputs, base = model(rows).double(), model(torch.zeros(1, *shape)).double()
    best = outputs.argmax(1)
    odds = torch.logit(outputs.softmax(1)[range(5), best])
    before = torch.logit(base.softmax(1)[0, best])
    torch.testing.assert_close(found.score, odds, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.base, before, rtol=1e-4, atol=1e-4)
    off = (found.values.double().flatten(1).sum(1) - (odds - before)).abs()
    assert (off <= 0.011 * (odds - before).abs() + 0.0011 * found.values.flatten(1).abs().sum(1)).all()


@pytest.mark.parametrize("name", TEXTS)
def test_the_attributions_of_tokens_add_up_and_padding_has_none(name):
    model = built(TEXTS[name])
    rows = torch.tensor([[2, 3, 4, 5, 6, 7, 8], [9, 10, 1, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0]])
    vocabulary = tuple(f"t{index}" for index in range(TOKENS))
    found = explained(model, rows, model.embedding.weight[:1], input_shape=(LENGTH,), vocabulary=vocabulary)
    assert found.complete.all()
    assert found.values.shape == (3, LENGTH, 5)
    assert not found.values[1, 3:].any()
    assert not found.values[2, 1:].any()
    assert (found.values[rows != 0].abs().sum(-1) > 0).all()
    with torch.no_grad():
        own = model(rows[1:2]).softmax(1)
    torch.testing.assert_close(found.score[1], torch.logit(own.max().double()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [[], [3]])
def test_the_attributions_of_a_reconstruction_error_add_up(channels):
    model, rows = built(partial(AUTO, channels=channels, input_shape=IMAGE)), torch.randn(4, *IMAGE)
    asked = question("reconstruction", schema(), None, score=None, class_name="", target="")
    found = explained(model, rows, torch.zeros(1, *IMAGE), asked)
    assert found.complete.all()
    with torch.no_grad():
        torch.testing.assert_close(found.score.float(), (model(rows) - rows).square().mean((1, 2, 3)))


def test_a_linear_model_has_the_attributions_of_its_weights():
    model = built(partial(linear, outputs=3, input_shape=TABLE))
    rows, baseline, weight = torch.randn(4, 6), torch.randn(1, 6), model[1].weight.detach()
    logit = Question("classification", "logit", 2, "", None)
    found = explained(model, rows, baseline, logit)
    torch.testing.assert_close(found.values, weight[2] * (rows - baseline))
    assert found.steps.tolist() == [16] * 4
    score = view(model, schema()).score(logit, rows, torch.full((4,), 2))
    torch.testing.assert_close(
        saliency(score, rows, baseline.expand(4, 6), portion=3).values, weight[2].abs().expand(4, 6)
    )
    parts = list(torch.eye(6, dtype=torch.bool))
    fell = occlusion(score, rows, baseline.expand(4, 6), parts, portion=5)
    torch.testing.assert_close(fell.values, weight[2] * (rows - baseline), rtol=1e-4, atol=1e-5)


def test_a_polynomial_has_the_attributions_of_its_integral():
    """Of F = x^3 y, the path integral from 0 gives x^3 y (3/4, 1/4)."""
    rows = torch.tensor([[1.0, 2.0], [-2.0, 0.5]])

    def score(points, indices):
        return points[:, 0] ** 3 * points[:, 1]

    found = integrated_gradients(score, rows, torch.zeros(2, 2), most_steps=16, portion=7)
    whole = rows[:, 0] ** 3 * rows[:, 1]
    torch.testing.assert_close(found.values, torch.stack([0.75 * whole, 0.25 * whole], 1))
    assert found.complete.all()


def test_steps_double_only_for_rows_that_do_not_add_up():
    """A kink is hard: sqrt-like scores need more steps the closer the row; a linear score needs the fewest."""
    rows = torch.tensor([[1.0], [1.0], [1.0]])

    def score(points, indices):
        hard = torch.relu(points[:, 0] - 0.903) * 10
        return torch.where(indices == 1, hard, points[:, 0])

    found = integrated_gradients(score, rows, torch.zeros(3, 1), most_steps=1024, portion=50)
    assert found.steps[0] == found.steps[2] == 16
    assert found.steps[1] > 16
    assert found.complete.all()
    few = integrated_gradients(score, rows, torch.zeros(3, 1), most_steps=16, portion=50)
    assert few.complete.tolist() == [True, False, True]
    assert few.gap[1] == pytest.approx(abs(float(few.sum[1]) - 0.97) / 0.97, rel=1e-4)
    assert few.steps.tolist() == [16] * 3


def test_attributions_that_cancel_are_compared_with_their_sizes():
    """Of F = relu(x - 0.903) - relu(y - 0.9032), both at 1, the sum is almost 0: 1 % of it is less than a step can tell."""
    rows = torch.tensor([[1.0, 1.0]])

    def score(points, indices):
        return torch.relu(points[:, 0] - 0.903) - torch.relu(points[:, 1] - 0.9032)

    found = integrated_gradients(score, rows, torch.zeros(1, 2), most_steps=4096, portion=5000)
    off = abs(float(found.sum - (found.score - found.base)))
    assert found.complete.all()
    assert off <= 0.001 * float(found.values.abs().sum())


def test_a_row_that_equals_its_baseline_adds_up():
    model = built(partial(linear, outputs=3, input_shape=TABLE))
    rows = torch.randn(1, 6)
    found = explained(model, rows, rows)
    assert (found.gap.tolist(), found.values.abs().sum()) == ([0.0], 0)


def test_attributions_do_not_depend_on_the_portions():
    build, shape = MODELS["cnn batch"]
    model, rows = built(build), torch.randn(3, *shape)
    values = [explained(model, rows, torch.zeros(1, *shape), portion=size).values for size in (1, 7, 1000)]
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(values[0], values[2], rtol=1e-4, atol=1e-6)


def test_no_gradient_is_kept_for_weights_and_none_of_them_changes():
    model = built(MODELS["mlp batch"][0])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    explained(model, torch.randn(3, 6), torch.zeros(1, 6))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_nodes_are_those_of_gauss_and_legendre():
    """The rule with n nodes integrates powers up to 2n - 1 exactly."""
    for steps in (1, 2, 5, 16):
        places, weights = (part.double().numpy() for part in nodes(steps))
        for power in range(2 * steps):
            assert np.dot(weights, places**power) == pytest.approx(1 / (power + 1), abs=1e-6)


def test_patches_cover_an_image_once():
    seen = np.zeros((5, 7), dtype=int)
    for rows, columns in patches(5, 7, 3):
        seen[rows, columns] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize(("kind", "expected"), [("log_odds", 0.0), ("logit", 2.0), ("probability", 0.0)])
def test_only_the_logit_depends_on_a_number_that_is_added_to_all_logits(kind, expected):
    asked, outputs = Question("classification", kind, None, "", None), torch.tensor([[1.0, 3.0, -1.0]])
    chosen = asked.chosen(outputs)
    change = asked.answer(outputs + 2, chosen, outputs) - asked.answer(outputs, chosen, outputs)
    assert float(change) == pytest.approx(expected, abs=1e-6)


@pytest.mark.skipif(
    importlib.util.find_spec("captum") is None, reason="captum is not installed; it is only a reference"
)
@pytest.mark.parametrize("name", ["mlp layer", "cnn group", "rnn lstm", "resnet"])
@pytest.mark.filterwarnings("ignore")
def test_the_attributions_equal_those_of_captum(name):
    from captum.attr import IntegratedGradients, Occlusion, Saliency

    build, shape = MODELS[name]
    model, rows = built(build), torch.randn(3, *shape)
    logit = Question("classification", "logit", 1, "", None)
    own = explained(model, rows, torch.zeros(1, *shape), logit, most_steps=32, fewest=32)
    theirs = IntegratedGradients(model).attribute(
        rows, torch.zeros_like(rows), target=1, n_steps=32, method="gausslegendre"
    )
    torch.testing.assert_close(own.values, theirs.float(), rtol=1e-4, atol=2e-6)
    score = view(model, schema()).score(logit, rows, torch.ones(3, dtype=torch.long))
    steep = saliency(score, rows, torch.zeros_like(rows), portion=2).values
    torch.testing.assert_close(steep, Saliency(model).attribute(rows.clone(), target=1), rtol=1e-4, atol=1e-6)
    if len(shape) == 3:
        masks = []
        for down, right in patches(*shape[1:], 3):
            masks.append(torch.zeros(1, *shape[1:], dtype=torch.bool))
            masks[-1][:, down, right] = True
        fell = occlusion(score, rows, torch.zeros_like(rows), masks, portion=10).values
        theirs = Occlusion(model).attribute(rows, (1, 3, 3), strides=(1, 3, 3), baselines=0, target=1)
        ours = sum(fell[:, part, None, None, None] * mask for part, mask in enumerate(masks))
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-3, atol=1e-5)
