"""Weights of 8 bits on disk: exactly the floats that were written, a quarter of the bytes, and format 1 for ever."""

import pytest
import torch

from trainctl.components.compress._int8_layers import rounded
from trainctl.errors import CheckpointError
from trainctl.store import int8, tensors


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "model.a.weight": rounded(torch.randn(30, 20, generator=generator), 0) + 0.0,
        "model.b.weight": rounded(torch.randn(50, 8, generator=generator), 1) + 0.0,
        "model.c.weight": rounded(torch.randn(4, 3, 3, 3, generator=generator), 0) + 0.0,
        "model.a.bias": torch.randn(30, generator=generator),
    }


AXES = {"model.a.weight": 0, "model.b.weight": 1, "model.c.weight": 0}


def test_what_is_read_has_the_bits_of_what_was_written(tmp_path):
    named = weights()
    payload = tensors.write(tmp_path / "x.safetensors", int8.encode(named, AXES))
    again = tensors.read(tmp_path / "x.safetensors", payload.sha256)
    assert set(again) == set(named)
    assert all(again[name].numpy().tobytes() == value.numpy().tobytes() for name, value in named.items())
    stored = int8.encode(named, AXES)
    assert sum(value.nbytes for value in stored.values()) < 0.30 * sum(value.nbytes for value in named.values())
    assert [stored[name].dtype for name in AXES] == [torch.int8] * 3


def test_a_weight_that_is_no_multiple_of_its_scale_stays_a_float():
    named = weights()
    named["model.b.weight"] = named["model.b.weight"] + 1e-3
    filters = named["model.c.weight"].view(4, -1)
    filters[0, filters[0].abs().argmin()] = -0.0  # integers have no such zero
    stored = int8.encode(named, AXES)
    assert stored["model.a.weight"].dtype == torch.int8
    assert stored["model.b.weight"].dtype == stored["model.c.weight"].dtype == torch.float32
    assert int8.encode({"w": torch.randn(3, 3)}, {"w": 0}).keys() == {"w"}


def test_integers_of_a_users_own_are_left_alone():
    named = {**weights(), "model.table": torch.arange(5, dtype=torch.int8)}
    again = int8.decode(int8.encode(named, AXES), "x")
    assert torch.equal(again["model.table"], named["model.table"])
    assert int8.decode({"model.table": named["model.table"]}, "x")["model.table"].dtype == torch.int8


def test_format_1_is_read_for_ever():
    stored = {
        "model.1.weight": torch.tensor([[127, -64], [0, 3]], dtype=torch.int8),
        "model.e.weight": torch.tensor([[1, 2], [3, 4], [-5, 6]], dtype=torch.int8),
        "model.1.bias": torch.tensor([0.25]),
        "int8.axes": torch.tensor([0, 1], dtype=torch.uint8),
        "int8.scales": torch.tensor([0.5, 2.0, 0.25, 1.0], dtype=torch.bfloat16),
        "int8.format": torch.tensor(1, dtype=torch.uint8),
    }
    named = int8.decode(stored, "x")
    assert named["model.1.weight"].tolist() == [[63.5, -32.0], [0.0, 6.0]]
    assert named["model.e.weight"].tolist() == [[0.25, 2.0], [0.75, 4.0], [-1.25, 6.0]]
    assert set(named) == {"model.1.weight", "model.e.weight", "model.1.bias"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("int8.format", torch.tensor(2).byte(), "in format .2.; this version of trainctl reads format 1"),
        ("int8.axes", torch.tensor([0, 1]).byte(), "integers and scales do not match"),
        ("int8.axes", torch.tensor([0, 1, 7]).byte(), "integers and scales do not match"),
        ("int8.scales", torch.ones(3).bfloat16(), "integers and scales do not match"),
        ("int8.scales", torch.ones(99).bfloat16(), "integers and scales do not match"),
        ("int8.scales", torch.ones(42), "integers and scales do not match"),
    ],
)
def test_damage_is_an_error(key, value, message):
    with pytest.raises(CheckpointError, match=message):
        int8.decode(int8.encode(weights(), AXES) | {key: value}, "x")
