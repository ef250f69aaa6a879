"""Xavier initialisation."""

import math

import pytest
import torch
from torch import nn

from trainctl.init.xavier import xavier

# layer, and for each of its weights: (name, matrices stacked in it, inputs, outputs)
LAYERS = {
    "dense": (nn.Linear(500, 200), [("weight", 1, 500, 200)]),
    "convolution": (nn.Conv2d(40, 80, 5), [("weight", 1, 40 * 25, 80 * 25)]),
    "lstm": (nn.LSTM(300, 150), [("weight_ih_l0", 4, 300, 150), ("weight_hh_l0", 4, 150, 150)]),
    "gru": (nn.GRU(300, 150), [("weight_ih_l0", 3, 300, 150), ("weight_hh_l0", 3, 150, 150)]),
    "rnn, second layer, backward": (nn.RNN(9, 150, 2, bidirectional=True), [("weight_ih_l1_reverse", 1, 300, 150)]),
}


def matrices(layer, weights):
    for name, count, inputs, outputs in weights:
        for gate in getattr(layer, name).detach().chunk(count):
            yield gate, inputs, outputs


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("gain", [1.0, 5 / 3])
@pytest.mark.parametrize(("layer", "weights"), LAYERS.values(), ids=LAYERS)
def test_the_variance_of_every_matrix_is_the_written_formula(layer, weights, gain, distribution):
    torch.manual_seed(0)
    xavier(model=layer, distribution=distribution, gain=gain)
    for gate, inputs, outputs in matrices(layer, weights):
        variance = 2 * gain**2 / (inputs + outputs)
        assert gate.var().item() == pytest.approx(variance, rel=0.05)
        assert abs(gate.mean().item()) < 0.05 * math.sqrt(variance)
        inside = bool(gate.abs().max() <= math.sqrt(3 * variance))
        assert inside == (distribution == "uniform")


@pytest.mark.parametrize("layer", [layer for layer, _ in LAYERS.values()], ids=LAYERS)
def test_biases_become_zero(layer):
    xavier(model=layer, distribution="uniform", gain=1.0)
    biases = [parameter for name, parameter in layer.named_parameters() if "bias" in name]
    assert biases
    assert not any(bias.any() for bias in biases)
