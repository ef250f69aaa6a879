"""PyTorch's own initialisation."""

import torch
from torch import nn

from trainctl.components.init.none import none


def test_every_weight_stays():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LSTM(4, 2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    none(model=model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
