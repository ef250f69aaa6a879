"""Rows with missing values are left out; outliers by z-score or quartiles."""

import math

import pytest
import torch

from trainctl.components.clean.drop import drop
from trainctl.components.dataset.base import Dataset
from trainctl.fileformat.table import Column

KEYS = {"outliers": "keep", "outlier_rule": "zscore", "outlier_limit": None, "duplicates": "keep"}


def table(inputs, **more):
    return Dataset(torch.tensor(inputs), torch.zeros(len(inputs), 1), "regression", **more)


def test_rows_with_missing_values_go_and_are_counted_by_column():
    dataset = table([[1.0, math.nan], [2.0, 3.0], [math.nan, math.nan], [4.0, 5.0]], input_names=("a", "b"))
    kept, report = drop(**KEYS).select(dataset)
    assert kept.inputs.tolist() == [[2, 3], [4, 5]]
    assert report == ["dropped 2 rows with missing values (b 2, a 1)"]


@pytest.mark.parametrize(
    ("rule", "limit", "low", "high"),
    [("zscore", None, 4.5 - 3 * math.sqrt(8.25), 4.5 + 3 * math.sqrt(8.25)), ("iqr", None, 2.25 - 1.5 * 4.5, 6.75 + 1.5 * 4.5),
     ("zscore", 1.0, 4.5 - math.sqrt(8.25), 4.5 + math.sqrt(8.25)), ("iqr", 0.5, 0.0, 9.0)],
)  # fmt: skip
def test_values_beyond_the_limits_are_clipped_to_them_later_ones_too(rule, limit, low, high):
    dataset = table([[float(value)] for value in range(10)])
    clean = drop(**KEYS | {"outliers": "clip", "outlier_rule": rule, "outlier_limit": limit})
    cleaner, train = clean.fit(dataset, torch.arange(10))
    torch.testing.assert_close(cleaner(torch.tensor([[-99.0], [99.0], [5.0]])), torch.tensor([[low], [high], [5.0]]))
    assert len(train) == 10


def test_outliers_are_dropped_from_the_training_rows_only():
    dataset = table([[float(value % 5)] for value in range(40)])
    dataset.inputs[3] = dataset.inputs[38] = 1000.0
    clean = drop(**KEYS | {"outliers": "drop"})
    cleaner, train = clean.fit(dataset, torch.arange(30))
    assert train.tolist() == [row for row in range(30) if row != 3]
    assert cleaner(dataset.inputs)[38] == 1000
    assert clean.changes(dataset, cleaner, 1) == ["dropped 1 training row with outliers (zscore 3)"]


def test_constant_columns_and_categories_have_no_limits():
    columns = (Column("x"), Column("c", ("u", "w")))
    dataset = table([[5.0, 1.0, 0.0]] * 50 + [[5.0, 0.0, 1.0]], columns=columns, input_names=("x", "c=u", "c=w"))
    cleaner, _ = drop(**KEYS | {"outliers": "clip", "outlier_limit": 1.0}).fit(dataset, torch.arange(51))
    odd = torch.tensor([[7.0, 0.0, 1.0]])
    assert torch.equal(cleaner(odd), odd)


def test_what_is_clipped_is_reported_by_column():
    dataset = table([[float(value), 0.0] for value in range(10)], input_names=("a", "b"))
    clean = drop(**KEYS | {"outliers": "clip", "outlier_limit": 1.0})
    cleaner, _ = clean.fit(dataset, torch.arange(10))
    assert clean.changes(dataset, cleaner, 0) == ["clipped 4 outliers (zscore 1): a 4"]
