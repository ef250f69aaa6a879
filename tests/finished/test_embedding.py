"""The code of rows is the bottleneck of an autoencoder, and otherwise the last hidden layer."""

from functools import partial

import pytest
import torch
from torch import nn

from tests.finished.test_attribution import CNN, IMAGE, RNN, TABLE, built
from tests.schemas import schema
from trainctl.components.model.autoencoder import autoencoder
from trainctl.components.model.base import Reconstruction
from trainctl.components.model.linear import linear
from trainctl.components.model.mlp import mlp
from trainctl.errors import ConfigError
from trainctl.finished.embedding import encoder, names

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("channels", "hidden", "bottleneck"), [([], [4], 16), ([3], [8], 5), ([2, 3], [], 2), ([], [], 70)]
)
def test_the_code_of_an_autoencoder_is_its_bottleneck_even_if_another_layer_is_narrower(channels, hidden, bottleneck):
    model = built(
        partial(autoencoder, channels=channels, kernel_size=3, hidden=hidden, bottleneck=bottleneck, activation="relu",
                norm="batch", dropout=0.5, input_shape=IMAGE)
    )  # fmt: skip
    rows, encode = torch.randn(3, *IMAGE), encoder(model, schema(input_shape=IMAGE), CPU)
    codes = encode(rows)
    assert (codes.shape, encode.width) == ((3, bottleneck), bottleneck)
    place = int(model.code.partition(".")[2])
    torch.testing.assert_close(model.body[place + 1 :](codes), model(rows))
    torch.testing.assert_close(model.body[: place + 1](rows), codes)


def test_an_autoencoder_that_names_no_bottleneck_has_the_code_of_its_narrowest_layer():
    body = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2), nn.Linear(2, 6))
    encode = encoder(Reconstruction(body), schema(input_shape=TABLE), CPU)
    rows = torch.randn(3, 6)
    torch.testing.assert_close(encode(rows), body[:3](rows))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_code_of_a_perceptron_is_its_last_hidden_layer(norm):
    model = built(partial(mlp, hidden=[9, 7], activation="relu", norm=norm, dropout=0.5, outputs=3, input_shape=TABLE))
    rows = torch.randn(4, *TABLE)
    codes = encoder(model, schema(input_shape=TABLE), CPU)(rows)
    assert codes.shape == (4, 7)
    torch.testing.assert_close(model[-1](codes), model(rows))


def test_images_and_sequences_have_codes():
    for model, shape, width in (
        (built(partial(CNN, norm="layer")), IMAGE, 8),
        (built(partial(RNN, cell="gru")), (9, 3), 8),
    ):
        rows = torch.randn(4, *shape)
        assert encoder(model, schema(input_shape=shape), CPU)(rows).shape == (4, width)


def test_the_code_of_a_text_does_not_depend_on_its_padding():
    model = built(partial(RNN, cell="lstm", input_shape=(5,), vocabulary_size=9))
    texts = schema(input_shape=(5,), vocabulary=tuple(map(str, range(9))))
    encode = encoder(model, texts, CPU)
    short, long = torch.tensor([[2, 3, 0]]), torch.tensor([[2, 3, 0, 0, 0]])
    torch.testing.assert_close(encode(short), encode(long))


def test_a_model_without_a_hidden_layer_has_no_code():
    with pytest.raises(ConfigError, match="what=code: this model has no hidden layer"):
        encoder(built(partial(linear, outputs=3, input_shape=TABLE)), schema(input_shape=TABLE), CPU)
    with pytest.raises(ConfigError, match="what=code: this model has no dense layer"):
        encoder(nn.Sequential(nn.Flatten(), nn.ReLU()), schema(input_shape=TABLE), CPU)


def test_columns_are_numbered():
    assert names(3) == ["code_0", "code_1", "code_2"]
