"""Recurrent network."""

import pytest
import torch
from torch import nn

from trainctl.model.rnn import rnn

SEQUENCES = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))


def make(**changes):
    torch.manual_seed(0)
    settings = {
        "cell": "lstm", "hidden_size": 3, "layers": 1, "bidirectional": False, "pooling": "last", "dropout": 0.0,
        "input_shape": (5, 4), "outputs": 2,
    }  # fmt: skip
    return rnn(**settings | changes)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both ways"])
@pytest.mark.parametrize(("cell", "kind"), [("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_the_last_state_is_the_one_torch_returns_of_each_direction(cell, kind, bidirectional, layers):
    model = make(cell=cell, bidirectional=bidirectional, layers=layers)
    reference = kind(4, 3, layers, batch_first=True, bidirectional=bidirectional)
    reference.load_state_dict(model.body.state_dict())
    _, last = reference(SEQUENCES)
    last = last[0] if cell == "lstm" else last
    ends = [last[-2], last[-1]] if bidirectional else [last[-1]]
    torch.testing.assert_close(model(SEQUENCES), model.head(torch.cat(ends, dim=1)))


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both ways"])
def test_mean_pooling_is_the_mean_over_time(bidirectional):
    model = make(pooling="mean", bidirectional=bidirectional)
    torch.testing.assert_close(model(SEQUENCES), model.head(model.body(SEQUENCES)[0].mean(1)))


def test_every_step_of_a_sequence_counts():
    model = make(bidirectional=True)
    for step in range(5):
        changed = SEQUENCES.clone()
        changed[:, step] += 1
        assert not torch.allclose(model(changed), model(SEQUENCES))


def test_an_image_is_read_row_by_row():
    images = torch.randn(6, 2, 5, 3, generator=torch.Generator().manual_seed(0))
    of_images, of_sequences = make(input_shape=(2, 5, 3)), make(input_shape=(5, 6))
    of_sequences.load_state_dict(of_images.state_dict())
    rows = torch.stack([torch.cat([images[:, 0, y], images[:, 1, y]], dim=1) for y in range(5)], dim=1)
    torch.testing.assert_close(of_images(images), of_sequences(rows))


@pytest.mark.parametrize(
    ("changes", "count", "reason"),
    [
        ({}, 4 * (3 * (4 + 3) + 6) + 2 * 4, "four gates, each with two biases"),
        ({"cell": "gru"}, 3 * (3 * (4 + 3) + 6) + 2 * 4, "three gates"),
        ({"cell": "rnn"}, 3 * (4 + 3) + 6 + 2 * 4, "one"),
        ({"bidirectional": True}, 2 * 4 * (3 * (4 + 3) + 6) + 2 * 7, "two directions, a wider head"),
        ({"layers": 2}, 4 * (3 * (4 + 3) + 6) + 4 * (3 * (3 + 3) + 6) + 2 * 4, "the second reads the first's state"),
    ],
)
def test_it_has_as_many_parameters_as_expected(changes, count, reason):
    assert sum(parameter.numel() for parameter in make(**changes).parameters()) == count, reason


def test_dropout_stands_between_layers_and_before_the_output():
    assert make(layers=2, dropout=0.3).body.dropout == 0.3
    assert make(layers=1, dropout=0.3).body.dropout == 0.0
    assert [layer.p for layer in make(dropout=0.3).modules() if isinstance(layer, nn.Dropout)] == [0.3]
