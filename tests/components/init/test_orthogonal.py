"""Orthogonal initialisation."""

import pytest
import torch

from trainctl.components.init.orthogonal import orthogonal


@pytest.mark.parametrize(("gain", "number"), [("linear", 1.0), ("relu", 2**0.5)])
def test_every_matrix_is_orthogonal_on_its_smaller_side(measured, gain, number):
    torch.manual_seed(0)
    orthogonal(model=measured.layer, gain=gain, bias=0.0)
    for gate, _, _ in measured.matrices():
        matrix = gate.flatten(1)
        matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        torch.testing.assert_close(matrix @ matrix.T, number**2 * torch.eye(len(matrix)), rtol=0, atol=1e-4)
        assert gate.square().mean().item() == pytest.approx(number**2 / max(gate.flatten(1).shape), rel=1e-3)


def test_a_deep_linear_network_keeps_the_length_of_its_signal():
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[torch.nn.Linear(100, 100) for _ in range(50)])
    orthogonal(model=model, gain="linear", bias=0.0)
    signal = torch.randn(10, 100)
    torch.testing.assert_close(model(signal).norm(dim=1), signal.norm(dim=1), rtol=1e-3, atol=0)
