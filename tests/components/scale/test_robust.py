"""Scaling by median and interquartile range."""

import torch
from sklearn.preprocessing import RobustScaler

from trainctl.components.scale.robust import robust

GENERATOR = torch.Generator().manual_seed(0)


def test_tables_equal_scikit_learn_with_a_constant_column_too():
    table = torch.randn(201, 4, generator=GENERATOR) * torch.tensor([1.0, 300.0, 1e-3, 0.0]) + 5
    reference = torch.from_numpy(RobustScaler().fit_transform(table.double().numpy())).float()
    torch.testing.assert_close(robust(values=table)(table), reference, rtol=1e-3, atol=1e-4)


def test_an_outlier_moves_nothing():
    values = torch.arange(9.0)[:, None]
    dirty = values.clone()
    dirty[8] = 1e9
    clean, moved = robust(values=values), robust(values=dirty)
    assert (clean.factor, clean.offset) == (moved.factor, moved.offset)


def test_bytes_are_scaled_per_channel():
    images = torch.randint(0, 256, (40, 2, 7, 5), generator=GENERATOR, dtype=torch.uint8)
    scaled = robust(values=images)(images)
    torch.testing.assert_close(scaled.transpose(0, 1).flatten(1).median(1).values, torch.zeros(2), atol=0.01, rtol=0)
