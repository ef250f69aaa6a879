"""Logarithm of the hyperbolic cosine."""

import math

import pytest
import torch

from trainctl.components.loss.log_cosh import log_cosh


@pytest.mark.parametrize("error", [-5.0, -0.3, 0.0, 0.01, 1.0, 20.0])
def test_it_is_the_written_formula_and_its_gradient_the_hyperbolic_tangent(error):
    outputs = torch.tensor([[error + 2.0]], dtype=torch.float64, requires_grad=True)
    loss = log_cosh()(outputs, torch.tensor([[2.0]], dtype=torch.float64))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(math.cosh(error)), rel=1e-9, abs=1e-12)
    assert outputs.grad.item() == pytest.approx(math.tanh(error), rel=1e-9, abs=1e-12)


def test_where_the_cosine_overflows_it_is_the_absolute_error_less_log_2():
    loss = log_cosh()(torch.tensor([[1000.0, -3000.0]]), torch.zeros(1, 2))
    assert loss.item() == pytest.approx(2000 - math.log(2))
