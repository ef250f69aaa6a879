"""He initialisation, uniform."""

import pytest
import torch

from trainctl.components.init.he_uniform import he_uniform


@pytest.mark.parametrize("fan", ["in", "out"])
@pytest.mark.parametrize(("gain", "number"), [("relu", 2**0.5), ("linear", 1.0), (3, 3.0)])
def test_the_variance_of_every_matrix_is_the_written_formula(measured, fan, gain, number):
    torch.manual_seed(0)
    he_uniform(model=measured.layer, fan=fan, gain=gain, bias=0.0)
    measured.check(lambda inputs, outputs: number**2 / (inputs if fan == "in" else outputs), "uniform")


def test_it_draws_what_torch_draws():
    ours, theirs = torch.nn.Linear(30, 20), torch.empty(20, 30)
    torch.manual_seed(0)
    he_uniform(model=ours, fan="in", gain="relu", bias=0.0)
    torch.manual_seed(0)
    torch.nn.init.kaiming_uniform_(theirs, nonlinearity="relu")
    torch.testing.assert_close(ours.weight.detach(), theirs)
