"""Recurrent network."""

import pytest
import torch
from torch import nn

from trainctl.components.model.base import Chain
from trainctl.components.model.rnn import rnn
from trainctl.errors import ConfigError

SEQUENCES = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))


def make(**changes):
    torch.manual_seed(0)
    settings = {
        "cell": "lstm", "hidden_size": 3, "layers": 1, "bidirectional": False, "pooling": "last", "dropout": 0.0,
        "activation": "tanh", "embedding_size": 6, "norm": "none", "input_shape": (5, 4), "outputs": 2, "vocabulary_size": 0,
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


def test_a_plain_cell_takes_relu_and_a_gated_one_does_not():
    assert make(cell="rnn", activation="relu").body.nonlinearity == "relu"
    assert make(cell="rnn").body.nonlinearity == "tanh"
    with pytest.raises(ConfigError, match=r"model\.activation=relu is only for model\.cell=rnn; gru always uses tanh"):
        make(cell="gru", activation="relu")


def test_the_norm_is_of_what_the_output_layer_sees():
    model = make(norm="layer", bidirectional=True)
    states = model.body(SEQUENCES)[0]
    ends = torch.cat([states[:, -1, :3], states[:, 0, 3:]], dim=1)
    torch.testing.assert_close(model(SEQUENCES), model.head[1](torch.nn.functional.layer_norm(ends, (6,))))


# Rows of token ids; 0 fills up what is shorter than the longest.

IDS = torch.tensor([[3, 1, 4, 1, 5], [2, 6, 0, 0, 0], [5, 0, 0, 0, 0], [1, 0, 2, 0, 0]])


def reader(**changes):
    return make(input_shape=(5,), vocabulary_size=7, **changes).eval()


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both ways"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_padded_row_is_read_like_the_row_by_itself(cell, layers, bidirectional, pooling):
    model = reader(cell=cell, layers=layers, bidirectional=bidirectional, pooling=pooling)
    for row, length in zip(IDS, (5, 2, 1, 3), strict=True):
        vectors = model.embedding(row[None, :length])
        states = model.body(vectors)[0]
        pooled = states.mean(1) if pooling == "mean" else torch.cat([states[:, -1, :3], states[:, 0, 3:]], dim=1)
        torch.testing.assert_close(model(row[None]), model.head(pooled))
    torch.testing.assert_close(model(IDS), torch.cat([model(row[None]) for row in IDS]))


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_more_padding_changes_nothing(pooling):
    model = reader(bidirectional=True, pooling=pooling)
    padded = torch.cat([IDS, torch.zeros(4, 9, dtype=torch.long)], dim=1)
    assert torch.equal(model(padded), model(IDS))


def test_a_row_of_nothing_but_padding_has_outputs_too():
    model = reader(bidirectional=True)
    empty = torch.zeros(2, 5, dtype=torch.long)
    assert torch.isfinite(model(empty)).all()
    assert torch.equal(model(empty), model(empty[:, :1]))


def test_the_embedding_has_a_vector_for_each_token_and_none_for_padding():
    model = reader()
    assert model.embedding.weight.shape == (7, 6)
    assert not model.embedding.weight[0].any()
    model.train()(IDS).sum().backward()
    assert not model.embedding.weight.grad[0].any()


@pytest.mark.parametrize(("shape", "vocabulary_size"), [((5, 4), 7), ((5,), 0), ((1, 2, 3, 4), 0)])
def test_other_rows_are_refused(shape, vocabulary_size):
    with pytest.raises(ConfigError, match="model=rnn reads sequences or images"):
        make(input_shape=shape, vocabulary_size=vocabulary_size)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both ways"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_text_is_read_without_packing_as_with_it(cell, layers, bidirectional, pooling):
    model = reader(cell=cell, layers=layers, bidirectional=bidirectional, pooling=pooling)
    ids = torch.cat([IDS, torch.zeros(1, 5, dtype=torch.long), torch.tensor([[0, 3, 0, 2, 0]])])
    plain = model.exportable()
    torch.testing.assert_close(plain(ids), model(ids))
    torch.testing.assert_close(plain(ids[:1]), model(ids[:1]))
    shared = {parameter.data_ptr() for parameter in model.parameters()}
    assert {parameter.data_ptr() for parameter in plain.parameters()} == shared


@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 3)], ids=["series", "images"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both ways"])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_the_parts_of_a_network_compute_what_it_computes(pooling, bidirectional, shape):
    settings = {"cell": "rnn", "activation": "relu", "layers": 2, "bidirectional": bidirectional, "pooling": pooling}
    model = make(input_shape=shape, **settings).eval()
    rows = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    assert model.exportable() is model
    torch.testing.assert_close(Chain(model.parts())(rows), model(rows))
