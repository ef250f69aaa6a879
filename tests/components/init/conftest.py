"""Layers whose matrices the initialisations' tests measure."""

import math
from collections.abc import Callable, Iterator

import pytest
from torch import Tensor, nn

# layer, and for each of its weights: (name, matrices stacked in it, inputs, outputs)
LAYERS = {
    "dense": (lambda: nn.Linear(500, 200), [("weight", 1, 500, 200)]),
    "convolution": (lambda: nn.Conv2d(40, 80, 5), [("weight", 1, 40 * 25, 80 * 25)]),
    "lstm": (lambda: nn.LSTM(300, 150), [("weight_ih_l0", 4, 300, 150), ("weight_hh_l0", 4, 150, 150)]),
    "gru": (lambda: nn.GRU(300, 150), [("weight_ih_l0", 3, 300, 150), ("weight_hh_l0", 3, 150, 150)]),
    "rnn, second layer, backward": (
        lambda: nn.RNN(9, 150, 2, bidirectional=True),
        [("weight_ih_l1_reverse", 1, 300, 150)],
    ),
}


class Measured:
    """A layer, and its matrices with the fans they should be drawn for."""

    def __init__(self, kind: str) -> None:
        make, self.weights = LAYERS[kind]
        self.layer = make()

    def matrices(self) -> Iterator[tuple[Tensor, int, int]]:
        """Yield each matrix with the inputs and outputs that it connects."""
        for name, count, inputs, outputs in self.weights:
            for gate in getattr(self.layer, name).detach().chunk(count):
                yield gate, inputs, outputs

    def check(self, variance: Callable[[int, int], float], distribution: str) -> None:
        """Compare every matrix with the variance of its fans, and with its distribution's support."""
        for gate, inputs, outputs in self.matrices():
            wanted = variance(inputs, outputs)
            assert gate.var().item() == pytest.approx(wanted, rel=0.05)
            assert abs(gate.mean().item()) < 0.05 * math.sqrt(wanted)
            inside = bool(gate.abs().max() <= math.sqrt(3 * wanted) * (1 + 1e-6))
            assert inside == (distribution == "uniform")


@pytest.fixture(params=LAYERS)
def measured(request: pytest.FixtureRequest) -> Measured:
    """Return each kind of layer in turn."""
    return Measured(request.param)
