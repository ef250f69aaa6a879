"""What every scaling is: one factor and one offset per column or channel, with an inverse."""

from pathlib import Path

import pytest
import torch
import yaml

from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "scale"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
GENERATOR = torch.Generator().manual_seed(0)
VALUES = {
    "table": (torch.randn(50, 3, generator=GENERATOR) * torch.tensor([1.0, 100.0, 1e-3]) + 5, (1, 3)),
    "sequences": (torch.randn(20, 4, 3, generator=GENERATOR) * 7, (1, 1, 3)),
    "images of bytes": (torch.randint(0, 256, (9, 2, 5, 4), generator=GENERATOR, dtype=torch.uint8), (1, 2, 1, 1)),
    "images of numbers": (torch.rand(9, 2, 5, 4, generator=GENERATOR), (1, 2, 1, 1)),
    "one row": (torch.tensor([[1.0, -2.0]]), (1, 2)),
    "a constant column": (torch.tensor([[1.0, 0.1], [2.0, 0.1], [4.0, 0.1]]), (1, 2)),
}


def fit(name, values):
    return factory.build("scale", yaml.safe_load((CONF / f"{name}.yaml").read_text()), values=values)


def test_there_are_members():
    assert len(MEMBERS) >= 3


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(("values", "shape"), VALUES.values(), ids=VALUES)
class TestEveryKindOfValues:
    def test_columns_and_channels_have_one_factor_and_one_offset(self, name, values, shape):
        scale = fit(name, values)
        assert scale.factor.shape == scale.offset.shape == shape
        assert scale.factor.dtype == scale.offset.dtype == torch.float32
        assert (scale.factor > 0).all()

    def test_scaled_values_are_finite_floats_of_the_same_shape(self, name, values, shape):
        scaled = fit(name, values)(values)
        assert scaled.shape == values.shape
        assert scaled.dtype == torch.float32
        assert torch.isfinite(scaled).all()

    def test_the_inverse_gives_the_values_back(self, name, values, shape):
        scale = fit(name, values)
        torch.testing.assert_close(
            scale.inverse(scale(values)), values.float(), rtol=1e-5, atol=1e-5 * float(values.float().abs().max())
        )

    def test_rows_do_not_depend_on_their_batch(self, name, values, shape):
        scale = fit(name, values)
        assert torch.equal(scale(values)[:1], scale(values[:1]))
