"""He initialisation."""

import pytest
import torch
from torch import nn

from trainctl.init.he import he


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("fan", ["in", "out"])
def test_the_variance_of_every_matrix_is_the_written_formula(measured, fan, distribution):
    torch.manual_seed(0)
    he(model=measured.layer, distribution=distribution, fan=fan, negative_slope=0.5)
    measured.check(lambda inputs, outputs: 2 / (1.25 * (inputs if fan == "in" else outputs)), distribution)


def test_a_deep_network_with_relu_keeps_the_size_of_its_signal():
    torch.manual_seed(0)
    layers = [layer for _ in range(20) for layer in (nn.Linear(300, 300), nn.ReLU())]
    model = nn.Sequential(*layers)
    he(model=model, distribution="normal", fan="in", negative_slope=0.0)
    inputs = torch.randn(200, 300)
    assert 0.3 < model(inputs).square().mean() / inputs.square().mean() < 3
