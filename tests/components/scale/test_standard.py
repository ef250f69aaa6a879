"""Standardisation."""

import pytest
import torch
from sklearn.preprocessing import StandardScaler

from trainctl.components.scale.standard import standard

GENERATOR = torch.Generator().manual_seed(0)
TABLE = torch.randn(200, 4, generator=GENERATOR) * torch.tensor([1.0, 300.0, 1e-3, 0.0]) + torch.tensor(
    [0.0, -50.0, 2e-3, 7.1]
)


def test_tables_equal_scikit_learn_with_a_constant_column_too():
    reference = StandardScaler().fit(TABLE.double().numpy())
    scaled = standard(values=TABLE)
    torch.testing.assert_close(
        scaled(TABLE), torch.from_numpy(reference.transform(TABLE.double().numpy())).float(), rtol=1e-4, atol=1e-5
    )
    later = torch.full((1, 4), 9.0)
    torch.testing.assert_close(
        scaled(later), torch.from_numpy(reference.transform(later.double().numpy())).float(), rtol=1e-4, atol=1e-4
    )


def test_the_variance_is_that_of_the_rows_not_an_estimate():
    assert standard(values=torch.tensor([[0.0], [2.0]]))(torch.tensor([[2.0]])).item() == 1.0


@pytest.mark.parametrize("constant", [0, 255])
def test_bytes_are_standardised_per_channel_as_in_float64(constant):
    images = torch.randint(0, 256, (40, 3, 7, 5), generator=GENERATOR, dtype=torch.uint8)
    images[:, 1] //= 9
    images[:, 2] = constant
    exact = images.double()
    mean, deviation = exact.mean((0, 2, 3), keepdim=True), exact.std((0, 2, 3), correction=0, keepdim=True)
    deviation[0, 2] = 1
    torch.testing.assert_close(
        standard(values=images)(images), ((exact - mean) / deviation).float(), rtol=1e-5, atol=1e-5
    )


def test_sequences_are_standardised_per_feature():
    sequences = torch.randn(30, 6, 2, generator=GENERATOR) * torch.tensor([1.0, 50.0]) + 3
    scaled = standard(values=sequences)(sequences).double()
    torch.testing.assert_close(scaled.mean((0, 1)), torch.zeros(2).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.square().mean((0, 1)), torch.ones(2).double(), atol=1e-5, rtol=0)


def test_a_large_offset_does_not_swallow_a_small_spread():
    years = torch.arange(1990.0, 2021.0)[:, None]
    exact = (years.double() - 2005) / years.double().std(correction=0)
    torch.testing.assert_close(standard(values=years)(years).double(), exact, atol=1e-4, rtol=0)
