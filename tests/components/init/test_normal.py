"""Normal initialisation."""

import torch

from trainctl.components.init.normal import normal


def test_the_variance_of_every_matrix_is_the_same(measured):
    torch.manual_seed(0)
    normal(model=measured.layer, std=0.3, bias=0.0)
    measured.check(lambda inputs, outputs: 0.3**2, "normal")
