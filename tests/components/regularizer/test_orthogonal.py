"""Soft orthogonality."""

import pytest
import torch
from torch import nn

from trainctl.components.regularizer.orthogonal import orthogonal


def test_it_is_the_sum_by_hand():
    # W W^T = [[5, -1], [-1, 10]]: (5 - 1)^2 + (10 - 1)^2 + 2 * 1^2
    weight = nn.Parameter(torch.tensor([[1.0, 2.0, 0.0], [1.0, -1.0, 8.0**0.5]]))
    assert orthogonal(params=[weight], weight=0.1).penalty().item() == pytest.approx(0.1 * (16 + 81 + 2))


def test_its_gradient_is_the_written_one():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(3, 5))
    orthogonal(params=[weight], weight=0.5).penalty().backward()
    matrix = weight.detach()
    torch.testing.assert_close(weight.grad, 0.5 * 4 * (matrix @ matrix.T - torch.eye(3)) @ matrix)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (4, 2, 2, 3), (40, 2, 3, 3)], ids=str)
def test_matrices_that_are_orthogonal_on_their_smaller_side_cost_nothing(shape):
    weight = nn.init.orthogonal_(nn.Parameter(torch.empty(shape)))
    assert orthogonal(params=[weight], weight=1.0).penalty().item() == pytest.approx(0, abs=1e-9)


def test_going_down_its_gradient_makes_a_matrix_orthogonal():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(6, 4) / 3)
    penalty = orthogonal(params=[weight], weight=1.0).penalty
    for _ in range(300):
        weight.grad = None
        penalty().backward()
        weight.data -= 0.05 * weight.grad
    torch.testing.assert_close(weight.T @ weight, torch.eye(4), rtol=0, atol=1e-3)


def test_biases_cost_nothing():
    assert orthogonal(params=[nn.Parameter(torch.ones(3))], weight=1.0).penalty is None
