"""Scaling to the range 0..1."""

import torch
from sklearn.preprocessing import MinMaxScaler

from trainctl.components.scale.minmax import minmax

GENERATOR = torch.Generator().manual_seed(0)
TABLE = torch.randn(200, 4, generator=GENERATOR) * torch.tensor([1.0, 300.0, 1e-3, 0.0]) + torch.tensor(
    [0.0, -50.0, 2e-3, 7.1]
)


def test_tables_equal_scikit_learn_with_a_constant_column_too():
    reference = MinMaxScaler().fit(TABLE.double().numpy())
    scaled = minmax(values=TABLE)
    torch.testing.assert_close(
        scaled(TABLE), torch.from_numpy(reference.transform(TABLE.double().numpy())).float(), rtol=1e-4, atol=1e-5
    )
    assert not scaled(TABLE)[:, 3].any()


def test_bytes_are_scaled_per_channel_as_in_float64():
    images = torch.randint(10, 200, (40, 2, 7, 5), generator=GENERATOR, dtype=torch.uint8)
    images[:, 1] //= 9
    exact = images.double()
    low, high = exact.amin((0, 2, 3), keepdim=True), exact.amax((0, 2, 3), keepdim=True)
    torch.testing.assert_close(
        minmax(values=images)(images), ((exact - low) / (high - low)).float(), rtol=1e-5, atol=1e-6
    )


def test_values_outside_the_training_range_leave_the_unit_interval():
    assert minmax(values=torch.tensor([[0.0], [2.0]]))(torch.tensor([[-2.0], [4.0]])).flatten().tolist() == [-1.0, 2.0]
