"""Xavier initialisation, uniform."""

import pytest
import torch

from trainctl.components.init.xavier_uniform import xavier_uniform


@pytest.mark.parametrize(("gain", "number"), [("linear", 1.0), ("tanh", 5 / 3), (0.5, 0.5)])
def test_the_variance_of_every_matrix_is_the_written_formula(measured, gain, number):
    torch.manual_seed(0)
    xavier_uniform(model=measured.layer, gain=gain, bias=0.0)
    measured.check(lambda inputs, outputs: 2 * number**2 / (inputs + outputs), "uniform")


def test_it_draws_what_torch_draws():
    ours, theirs = torch.nn.Linear(30, 20), torch.empty(20, 30)
    torch.manual_seed(0)
    xavier_uniform(model=ours, gain=2.0, bias=0.0)
    torch.manual_seed(0)
    torch.nn.init.xavier_uniform_(theirs, gain=2.0)
    torch.testing.assert_close(ours.weight.detach(), theirs)
