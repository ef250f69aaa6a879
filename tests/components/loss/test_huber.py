"""Huber loss."""

import pytest
import torch
from torch.nn import functional

from trainctl.components.loss.huber import huber

OUTPUTS = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
TARGETS = torch.tensor([[1.5, 0.0], [0.0, 6.0]])


@pytest.mark.parametrize("delta", [0.1, 1.0, 2.5])
def test_it_equals_torch_and_the_written_formula(delta):
    torch.testing.assert_close(
        huber(delta=delta)(OUTPUTS, TARGETS), functional.huber_loss(OUTPUTS, TARGETS, delta=delta)
    )
    expected = [e * e / 2 if e <= delta else delta * (e - delta / 2) for e in (0.5, 2.0, 3.0, 1.0)]
    assert huber(delta=delta)(OUTPUTS, TARGETS).item() == pytest.approx(sum(expected) / 4)


def test_no_gradient_is_larger_than_delta():
    outputs = torch.tensor([[1e9, -1e9, 0.1]], requires_grad=True)
    (3 * huber(delta=0.5)(outputs, torch.zeros(1, 3))).backward()
    assert outputs.grad.tolist() == [[0.5, -0.5, pytest.approx(0.1)]]
