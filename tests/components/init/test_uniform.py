"""Uniform initialisation."""

import torch

from trainctl.components.init.uniform import uniform


def test_every_matrix_is_drawn_from_the_interval(measured):
    torch.manual_seed(0)
    uniform(model=measured.layer, bound=0.2, bias=0.0)
    measured.check(lambda inputs, outputs: 0.2**2 / 3, "uniform")
