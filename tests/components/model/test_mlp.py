"""Multilayer perceptron."""

from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainctl.components.model.base import Activation, Norm
from trainctl.components.model.mlp import mlp
from trainctl.errors import ConfigError

FORMULAS = {
    "relu": functional.relu, "leaky_relu": functional.leaky_relu, "elu": functional.elu, "gelu": functional.gelu,
    "silu": functional.silu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "selu": functional.selu,
    "mish": lambda h: h * torch.tanh(torch.log1p(h.exp())), "softplus": lambda h: torch.log1p(h.exp()),
    "hardswish": lambda h: h * (h + 3).clamp(0, 6) / 6, "identity": lambda h: h,
}  # fmt: skip
NORMS = {
    "none": lambda h: h,
    "batch": lambda h: (h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt(),
    "layer": lambda h: (h - h.mean(1, keepdim=True)) / (h.var(1, correction=0, keepdim=True) + 1e-5).sqrt(),
    "group": lambda h: torch.cat([NORMS["layer"](part) for part in h.chunk(2, dim=1)], dim=1),
}


def make(**changes):
    torch.manual_seed(0)
    settings = {"hidden": [8], "activation": "relu", "norm": "none", "dropout": 0.0, "input_shape": (4,), "outputs": 3}
    return mlp(**settings | changes)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_tables_of_this_file_are_complete():
    assert set(FORMULAS) == set(get_args(Activation))
    assert set(NORMS) == set(get_args(Norm))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", FORMULAS)
def test_it_is_the_written_formula_with_the_norm_before_the_activation(activation, norm):
    model, inputs = make(activation=activation, norm=norm), torch.randn(8, 4)
    first, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    hidden = FORMULAS[activation](NORMS[norm](inputs @ first.weight.T + first.bias))
    torch.testing.assert_close(model(inputs), hidden @ last.weight.T + last.bias)


@pytest.mark.parametrize(
    ("changes", "count", "reason"),
    [
        ({"hidden": []}, 4 * 3 + 3, "a linear model"),
        ({"hidden": [5]}, 4 * 5 + 5 + 5 * 3 + 3, "one hidden layer"),
        ({"hidden": [5, 2]}, 4 * 5 + 5 + 5 * 2 + 2 + 2 * 3 + 3, "two"),
        ({"hidden": [5], "norm": "batch"}, 4 * 5 + 5 + 2 * 5 + 5 * 3 + 3, "a norm has a factor and an offset"),
        ({"hidden": [5], "input_shape": (2, 3, 4)}, 24 * 5 + 5 + 5 * 3 + 3, "rows are flattened"),
    ],
)
def test_it_has_as_many_parameters_as_expected(changes, count, reason):
    assert parameters(make(**changes)) == count, reason


def test_dropout_is_one_share_or_one_for_each_hidden_layer():
    def shares(**changes):
        return [layer.p for layer in make(**changes).modules() if isinstance(layer, nn.Dropout)]

    assert shares(hidden=[5, 4], dropout=0.3) == [0.3, 0.3]
    assert shares(hidden=[5, 4, 3], dropout=[0.1, 0.0, 0.5]) == [0.1, 0.5]
    with pytest.raises(ConfigError, match=r"model.dropout=\[0.1,0.2\] has 2 entries for 1 hidden layer"):
        make(dropout=[0.1, 0.2])
