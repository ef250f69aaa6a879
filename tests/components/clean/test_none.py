"""No cleaning: what is missing is counted and located."""

import math

import pytest
import torch

from trainctl.components.clean.none import none
from trainctl.components.dataset.base import Dataset
from trainctl.errors import DataError
from trainctl.fileformat.table import Column
from trainctl.fileformat.target import NO_CLASS


def table(inputs=((1.0, 2.0), (3.0, 4.0), (5.0, 6.0)), targets=((0.0,), (1.0,), (2.0,)), names=("a", "b")):
    return Dataset(torch.tensor(inputs), torch.tensor(targets), "regression", input_names=names, target_names=("y",))


def test_a_whole_data_set_stays():
    whole = table()
    assert none().select(whole) == (whole, [])


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            table(inputs=((1.0, 2.0), (3.0, math.nan))),
            "1 value of the inputs is missing or infinite, the first in row 1, column b",
        ),
        (
            table(inputs=((1.0, -math.inf), (math.nan, math.nan))),
            "3 values of the inputs are missing or infinite, the first in row 0, column b",
        ),
        (
            table(inputs=((1.0, math.inf),), names=()),
            "1 value of the inputs is missing or infinite, the first in row 0, column 1",
        ),
        (
            table(targets=((0.0,), (math.nan,))),
            "1 value of the targets is missing or infinite, the first in row 1, column y",
        ),
    ],
    ids=["one", "several", "without names", "target"],
)
def test_values_that_are_not_finite_are_counted_and_located(dataset, message):
    with pytest.raises(DataError) as caught:
        none().select(dataset)
    assert message in str(caught.value)


def test_sequences_are_searched_too():
    sequences = torch.zeros(4, 3, 2)
    sequences[2, 1, 0] = math.nan
    with pytest.raises(DataError, match=r"1 value of the inputs .* row 2"):
        none().select(Dataset(sequences, torch.zeros(4, dtype=torch.int64), "classification", ("a", "b")))


def test_bytes_cannot_be_missing():
    images = Dataset(torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.tensor([0, 1]), "classification", ("a", "b"))
    assert none().select(images) == (images, [])


def test_a_missing_category_counts_once_by_the_columns_name():
    columns = (Column("age"), Column("city", ("Bern", "Graz", "Ulm")))
    inputs = torch.tensor([[1.0, 0.0, 1.0, 0.0], [2.0, *[math.nan] * 3]])
    names = tuple(name for column in columns for name in column.names)
    dataset = Dataset(inputs, torch.zeros(2, 1), "regression", input_names=names, columns=columns)
    with pytest.raises(DataError, match=r"^1 value of the inputs .* row 1, column city;"):
        none().select(dataset)


def test_a_missing_class_is_named_by_its_column():
    dataset = Dataset(torch.zeros(2, 1), torch.tensor([0, NO_CLASS]), "classification", ("a", "b"), target_names=("y",))
    with pytest.raises(DataError, match=r"^1 value of the targets .* row 1, column y;"):
        none().select(dataset)
