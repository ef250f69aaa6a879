"""Limit on the size of each weight."""

import torch
from torch import nn

from trainctl.components.regularizer.weight_clip import weight_clip


def test_weights_outside_are_moved_to_the_border_and_the_others_stay():
    params = [nn.Parameter(torch.tensor([[3.0, -0.2], [0.5, -4.0]])), nn.Parameter(torch.tensor([7.0]))]
    regularizer = weight_clip(params=params, limit=0.5)
    regularizer.project()
    assert params[0].tolist() == [[0.5, -0.20000000298023224], [0.5, -0.5]]
    assert params[1].tolist() == [0.5]
    assert regularizer.penalty is None


def test_without_parameters_there_is_nothing_to_move():
    assert weight_clip(params=[], limit=1.0).project is None
