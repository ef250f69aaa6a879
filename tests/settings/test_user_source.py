"""Hydra reads the files of a user within our limits, even those that no earlier check has seen."""

import os

import pytest

from trainctl.errors import ConfigError
from trainctl.settings.user_source import UserSource

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{this}: &{this} [{','.join([f'*{before}'] * 10)}]\n" for before, this in zip("abcdef", "bcdefg", strict=True)
)


def test_a_bomb_and_a_pipe_are_refused_when_hydra_asks_for_them(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "bomb.yaml").write_text(BOMB)
    (tmp_path / "model" / "fine.yaml").write_text("# @package _global_\nx: 1\n")
    os.mkfifo(tmp_path / "model" / "pipe.yaml")
    source = UserSource("user", f"user://{tmp_path}")
    assert source.load_config("model/fine").config == {"x": 1}
    assert source.list("model", None) == ["bomb", "fine"]
    with pytest.raises(ConfigError, match="more than 100,000 values"):
        source.load_config("model/bomb")
    with pytest.raises(ConfigError, match="not a regular file"):
        source.load_config("model/pipe")
