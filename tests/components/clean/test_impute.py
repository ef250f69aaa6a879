"""Missing values are filled in as scikit-learn does."""

import math

import numpy as np
import pytest
import torch
from sklearn.impute import SimpleImputer

from trainctl.components.clean.base import Clean
from trainctl.components.clean.impute import impute
from trainctl.components.dataset.base import Dataset
from trainctl.data.centre import narrowed
from trainctl.errors import DataError
from trainctl.fileformat.table import Column

KEYS = {
    "strategy": "mean", "fill_value": -1.5, "outliers": "keep", "outlier_rule": "zscore", "outlier_limit": None, "duplicates": "keep",
}  # fmt: skip


def holes(rows=60):
    generator = np.random.default_rng(0)
    values = np.round(generator.normal(3, 2, (rows, 4)), 1).astype(np.float32)
    values[generator.random((rows, 4)) < 0.2] = np.nan
    return Dataset(torch.from_numpy(values), torch.zeros(rows, 1), "regression", input_names=tuple("abcd"))


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
def test_it_equals_scikit_learn_fitted_on_the_training_rows(strategy):
    dataset, train = holes(), torch.arange(0, 60, 2)
    cleaner, _ = impute(**KEYS | {"strategy": strategy}).fit(dataset, train)
    reference = SimpleImputer(strategy=strategy, fill_value=-1.5).fit(dataset.inputs[train].numpy())
    torch.testing.assert_close(cleaner(dataset.inputs), torch.from_numpy(reference.transform(dataset.inputs.numpy())))


def test_sequences_are_filled_in_by_feature():
    inputs = torch.tensor([[[1.0, math.nan], [3.0, 8.0]], [[math.nan, 4.0], [2.0, 6.0]]])
    cleaner, _ = impute(**KEYS).fit(Dataset(inputs, torch.zeros(2, 1), "regression"), torch.arange(2))
    assert cleaner(inputs).flatten().tolist() == [1, 6, 3, 8, 2, 4, 2, 6]


@pytest.mark.parametrize(
    ("strategy", "filled"), [("mean", [1.0, 0.0]), ("median", [1.0, 0.0]), ("constant", [0.0, 0.0])]
)
def test_a_missing_category_becomes_the_most_frequent_or_none(strategy, filled):
    inputs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [math.nan, math.nan]])
    dataset = Dataset(
        inputs, torch.zeros(4, 1), "regression", input_names=("c=u", "c=w"), columns=(Column("c", ("u", "w")),)
    )
    clean = impute(**KEYS | {"strategy": strategy})
    cleaner, _ = clean.fit(dataset, torch.arange(4))
    assert cleaner(inputs)[3].tolist() == filled
    assert [line.rpartition(": ")[2] for line in clean.changes(dataset, cleaner, 0)] == ["c 1"]


def test_limits_come_before_the_statistic():
    inputs = torch.tensor([[0.0], [1.0], [2.0], [3.0], [1000.0], [math.nan]])
    dataset = Dataset(inputs, torch.zeros(6, 1), "regression")
    settings = KEYS | {"outliers": "clip", "outlier_rule": "iqr"}
    cleaner, _ = impute(**settings).fit(dataset, torch.arange(6))
    assert cleaner(inputs).flatten().tolist() == [0, 1, 2, 3, 6, pytest.approx(12 / 5)]


def test_what_is_filled_in_is_reported_by_rows_and_columns():
    dataset = Dataset(
        torch.tensor([[1.0, math.nan], [math.nan, math.nan], [1.0, 2.0]]),
        torch.zeros(3, 1),
        "regression",
        input_names=("a", "b"),
    )
    clean = impute(**KEYS)
    cleaner, _ = clean.fit(dataset, torch.arange(3))
    assert clean.changes(dataset, cleaner, 0) == ["imputed missing values in 2 rows (mean): b 2, a 1"]


def test_a_column_without_a_training_value_is_named():
    dataset = Dataset(
        torch.tensor([[math.nan], [math.nan], [1.0]]), torch.zeros(3, 1), "regression", input_names=("a",)
    )
    with pytest.raises(DataError, match=r"column a has no values in the training rows.*clean\.strategy=constant"):
        impute(**KEYS).fit(dataset, torch.arange(2))


def test_a_constant_is_in_the_column_s_own_unit_wherever_its_centre_is():
    values = torch.tensor([[2459000.1, 1.0], [2459000.9, math.nan], [math.nan, 3.0]], dtype=torch.float64)
    dataset = narrowed(Dataset(values, torch.zeros(3, 1), "regression"))
    assert dataset.input_centre[0] > 2.4e6
    cleaner, _ = Clean(missing="impute", strategy="constant", fill_value=2459000.5).fit(dataset, torch.arange(3))
    filled = cleaner(dataset.inputs).double() + torch.tensor(dataset.input_centre, dtype=torch.float64)
    assert float(filled[2, 0]) == pytest.approx(2459000.5, abs=1e-6)
    assert filled[1, 1] == torch.tensor(2459000.5).float()
