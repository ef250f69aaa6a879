"""He initialisation, normal."""

import pytest
import torch

from trainctl.components.init.he_normal import he_normal


@pytest.mark.parametrize("fan", ["in", "out"])
@pytest.mark.parametrize(("gain", "number"), [("relu", 2**0.5), ("linear", 1.0), (3, 3.0)])
def test_the_variance_of_every_matrix_is_the_written_formula(measured, fan, gain, number):
    torch.manual_seed(0)
    he_normal(model=measured.layer, fan=fan, gain=gain, bias=0.0)
    measured.check(lambda inputs, outputs: number**2 / (inputs if fan == "in" else outputs), "normal")


def test_a_deep_network_with_relu_keeps_the_size_of_its_signal():
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[layer for _ in range(20) for layer in (torch.nn.Linear(300, 300), torch.nn.ReLU())])
    he_normal(model=model, fan="in", gain="relu", bias=0.0)
    inputs = torch.randn(200, 300)
    assert 0.3 < model(inputs).square().mean() / inputs.square().mean() < 3


def test_it_draws_what_torch_draws():
    ours, theirs = torch.nn.Linear(30, 20), torch.empty(20, 30)
    torch.manual_seed(0)
    he_normal(model=ours, fan="in", gain="relu", bias=0.0)
    torch.manual_seed(0)
    torch.nn.init.kaiming_normal_(theirs, nonlinearity="relu")
    torch.testing.assert_close(ours.weight.detach(), theirs)
