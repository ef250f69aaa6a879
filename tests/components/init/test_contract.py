"""What every initialisation keeps: shapes, norm layers, gradients on; and it draws from the seed alone."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "init"
MEMBERS = sorted({path.stem for path in CONF.glob("*.yaml")} - {"run"})  # which needs another run
BIASED = [name for name in MEMBERS if "bias" in yaml.safe_load((CONF / f"{name}.yaml").read_text())]
pytestmark = pytest.mark.filterwarnings("ignore:init=zeros")


def body():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.Flatten(0, 1),
        nn.Linear(6, 8),
        nn.LayerNorm(8),
        nn.GRU(8, 5),
        nn.Embedding(3, 4),
    )


def drawn(name, seed, **changes):
    torch.manual_seed(seed)
    model = body()
    torch.manual_seed(seed + 1)
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | changes
    factory.build("init", keys, model=model, examples=lambda: torch.randn(8, 2, 5, 5))
    return model


def test_there_are_members():
    assert len(MEMBERS) >= 11
    assert len(BIASED) >= 9


@pytest.mark.parametrize("name", MEMBERS)
def test_shapes_and_gradients_stay_and_values_are_finite(name):
    for (key, ours), (_, plain) in zip(drawn(name, 0).named_parameters(), body().named_parameters(), strict=True):
        assert ours.shape == plain.shape, key
        assert ours.requires_grad == (f"{name} {key}" != "whiten 0.weight")
        assert torch.isfinite(ours).all(), key


@pytest.mark.parametrize("name", MEMBERS)
def test_norm_layers_start_as_the_identity(name):
    model = drawn(name, 0, **({"bias": 0.25} if name in BIASED else {}))
    for layer in (model[1], model[4]):
        assert torch.equal(layer.weight, torch.ones_like(layer.weight))
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


@pytest.mark.parametrize("name", MEMBERS)
def test_the_same_seed_draws_the_same_weights_and_another_seed_others(name):
    first, again, other = (drawn(name, seed).state_dict() for seed in (0, 0, 5))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert torch.equal(first["3.weight"], other["3.weight"]) == (name == "zeros")


@pytest.mark.parametrize("name", BIASED)
@pytest.mark.parametrize("bias", [0.0, 0.25])
def test_biases_become_the_given_value_and_those_of_a_recurrent_gate_add_up_to_it(name, bias):
    model = drawn(name, 0, bias=bias)
    for layer in (model[0], model[3]):
        assert torch.equal(layer.bias, torch.full_like(layer.bias, bias))
    assert torch.equal(model[5].bias_ih_l0 + model[5].bias_hh_l0, torch.full((15,), bias))


@pytest.mark.parametrize("name", BIASED)
def test_an_embeddings_row_for_padding_stays_zero(name):
    model = nn.Embedding(5, 4, padding_idx=2)
    factory.build("init", yaml.safe_load((CONF / f"{name}.yaml").read_text()), model=model)
    assert model.weight.any(1).tolist() == ([False] * 5 if name == "zeros" else [True, True, False, True, True])
