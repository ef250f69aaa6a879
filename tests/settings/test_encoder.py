"""The encoder of an autoencoder starts a model with the same layers, or none at all."""

import pytest

from trainctl.errors import ConfigError
from trainctl.settings.encoder import words_of

CONVOLUTIONS = {"model": {"name": "autoencoder", "channels": [8, 16], "hidden": [64], "bottleneck": 8}}


@pytest.mark.parametrize("model", ["model=cnn", "model=mlp", "model=resnet"])
def test_no_model_takes_convolutions_of_another_stride(model: str) -> None:
    with pytest.raises(ConfigError) as caught:
        words_of(CONVOLUTIONS, [model])
    assert caught.value.lines[0].startswith(f"{model}: the encoder of this run has convolutions of stride 2")
    assert "what=code" in str(caught.value)


@pytest.mark.parametrize("words", [[], ["seed=1"], ["model=autoencoder"], ["model.hidden=[32]"]])
def test_an_autoencoder_continues_as_one(words: list[str]) -> None:
    assert words_of(CONVOLUTIONS, words) == []
