"""Multilayer perceptron."""

from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainctl.model.base import Activation, Norm
from trainctl.model.mlp import mlp

FORMULAS = {
    "relu": functional.relu, "leaky_relu": functional.leaky_relu, "elu": functional.elu, "gelu": functional.gelu,
    "silu": functional.silu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
}  # fmt: skip
NORMS = {
    "none": lambda h: h,
    "batch": lambda h: (h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt(),
    "layer": lambda h: (h - h.mean(1, keepdim=True)) / (h.var(1, correction=0, keepdim=True) + 1e-5).sqrt(),
}


def make(**changes):
    torch.manual_seed(0)
    settings = {"hidden": [5], "activation": "relu", "norm": "none", "dropout": 0.0, "input_shape": (4,), "outputs": 3}
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
        ({}, 4 * 5 + 5 + 5 * 3 + 3, "one hidden layer"),
        ({"hidden": [5, 2]}, 4 * 5 + 5 + 5 * 2 + 2 + 2 * 3 + 3, "two"),
        ({"norm": "batch"}, 4 * 5 + 5 + 2 * 5 + 5 * 3 + 3, "a norm has a factor and an offset"),
        ({"input_shape": (2, 3, 4)}, 24 * 5 + 5 + 5 * 3 + 3, "rows are flattened"),
    ],
)
def test_it_has_as_many_parameters_as_expected(changes, count, reason):
    assert parameters(make(**changes)) == count, reason
