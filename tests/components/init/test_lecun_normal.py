"""LeCun's initialisation."""

import torch

from trainctl.components.init.lecun_normal import lecun_normal


def test_the_variance_of_every_matrix_is_the_written_formula(measured):
    torch.manual_seed(0)
    lecun_normal(model=measured.layer, gain="linear", bias=0.0)
    measured.check(lambda inputs, outputs: 1 / inputs, "normal")


def test_a_deep_network_with_selu_keeps_the_size_of_its_signal():
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[layer for _ in range(20) for layer in (torch.nn.Linear(300, 300), torch.nn.SELU())])
    lecun_normal(model=model, gain="linear", bias=0.0)
    assert 0.5 < model(torch.randn(200, 300)).square().mean() < 2
