"""Xavier initialisation."""

import pytest
import torch

from trainctl.init.xavier import xavier


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("gain", [1.0, 5 / 3])
def test_the_variance_of_every_matrix_is_the_written_formula(measured, gain, distribution):
    torch.manual_seed(0)
    xavier(model=measured.layer, distribution=distribution, gain=gain)
    measured.check(lambda inputs, outputs: 2 * gain**2 / (inputs + outputs), distribution)


def test_a_gain_may_be_an_activations_name():
    first, second = torch.nn.Linear(9, 5), torch.nn.Linear(9, 5)
    for layer, gain in ((first, "tanh"), (second, 5 / 3)):
        torch.manual_seed(0)
        xavier(model=layer, distribution="normal", gain=gain)
    assert torch.equal(first.weight, second.weight)
