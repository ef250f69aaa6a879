"""Rows in memory are read as those of a file, and numbers have their value whatever marks the training file used."""

import math
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.schemas import schema
from trainctl.components.clean.base import Cleaner
from trainctl.data.load import IDENTITY
from trainctl.data.rows import Fitted
from trainctl.errors import DataError
from trainctl.fileformat.number import NumberFormat
from trainctl.fileformat.records import from_records
from trainctl.fileformat.table import Column
from trainctl.finished.in_memory import read_given

COMMA = NumberFormat(decimal=",", thousands=".")
TRAINED = schema(
    input_shape=(4,),
    input_names=("price", "when", "size=l", "size=s"),
    columns=(
        Column("price", number=COMMA),
        Column("when", date="day_first", origin=float(date(2024, 1, 1).toordinal() - 1)),
        Column("size", categories=("l", "s")),
    ),
)
FITTED = Fitted(Cleaner(fill=torch.full((4,), torch.nan)), IDENTITY, None)  # leaves gaps as they are


def read(given, trained=TRAINED):
    config = SimpleNamespace(parts={"dataset": {}})
    return read_given(SimpleNamespace(schema=trained, config=config), FITTED, given).rows.tolist()


def test_numbers_keep_their_value_and_texts_are_read_as_in_training():
    rows = [{"price": 1.5, "when": "2024-01-03", "size": "s"}, {"price": 2500, "when": date(2024, 1, 1), "size": "l"}]
    assert read(rows) == [[1.5, 2, 0, 1], [2500, 0, 1, 0]]
    rows = [{"price": "1.500,5", "when": "3.1.2024", "size": " s"}]
    assert read(rows) == [[1500.5, 2, 0, 1]]
    assert read({"price": np.float32(1.25), "when": "2024-01-03T12:00", "size": "s", "more": 5}) == [[1.25, 2.5, 0, 1]]


@pytest.mark.parametrize("gap", [None, float("nan"), "", "NA", np.float64("nan")])
def test_what_is_missing_is_missing(gap):
    ((price, _, *sizes),) = read([{"price": gap, "when": "2024-01-03", "size": gap}])
    assert math.isnan(price)
    assert all(map(math.isnan, sizes))
    assert (
        read([{"price": gap, "when": "2024-01-03", "size": "s"}, {"price": 2.5, "when": "2024-01-03", "size": "s"}])[1][
            0
        ]
        == 2.5
    )


def test_columns_without_names_are_found_by_their_numbers():
    plain = schema(input_shape=(2,), input_names=())
    fitted = replace(FITTED, cleaner=Cleaner())
    run = SimpleNamespace(schema=plain, config=SimpleNamespace(parts={"dataset": {}}))
    assert read_given(run, fitted, [{"input_1": 1, "input_0": 2}]).rows.tolist() == [[2, 1]]
    assert read_given(run, fitted, np.float32([[1, 2], [3, 4]])[::-1]).rows.tolist() == [[3, 4], [1, 2]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([{"price": [1]}], "rows, row 0, column price: contains a list; expected one value"),
        ({"price": [1, 2], "when": [1]}, "the columns have different lengths"),
        ([{"price": True, "when": "2024-01-03", "size": "s"}], "rows, row 0, column price: 'True' is not a number"),
        ([{"price": float("inf"), "when": "2024-01-03", "size": "s"}], "column price: 'inf' is infinite"),
        ([{"prize": 1}], "column price is missing; did you mean prize"),
        ([{}], "at least one row with named values"),
    ],
)
def test_wrong_values_are_named_by_row_and_column(given, expected):
    with pytest.raises(DataError, match=expected):
        read(given)


def test_a_column_is_of_numbers_only_if_all_of_its_values_are():
    found = from_records([{"a": 1, "b": "1", "c": None}, {"a": 2.5, "b": 2, "c": None}], "rows")
    assert found.typed == {"a"}
    assert found.rows == [["1", "1", ""], ["2.5", "2", ""]]


class Odd:
    """Cannot be written."""

    def __str__(self):
        raise ValueError("no text")


UNEXPECTED = [
    10**400, 10**5000, -(10**400), 1j, Odd(), object(), {}, [], b"x", "\ud800", np.zeros(()), np.zeros((0, 4)), np.zeros((2, 3, 4)),
    np.array([object()]), np.zeros(2, "M8[s]"), np.zeros(2, [("a", "f4")]), torch.zeros(2, 4).to_sparse(), torch.zeros(2, 4, device="meta"),
    torch.zeros(2, 4, dtype=torch.complex64), torch.zeros(2, 4, requires_grad=True), torch.zeros(2, 4, dtype=torch.bfloat16),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(UNEXPECTED)))
def test_whatever_is_given_is_read_or_refused(index):
    given = UNEXPECTED[index]
    for rows in (given, [given], {"price": given}, [{"price": given, "when": "2024-01-03", "size": "s"}]):
        try:
            read(rows)
        except DataError as error:
            assert len(error.lines[0]) < 500  # noqa: PT017 - some are read


def test_a_tensor_of_sixteen_bits_is_read_as_its_numbers():
    plain = schema(input_shape=(4,))
    assert read(torch.tensor([[1.5, -2.0, 0, 0]], dtype=torch.bfloat16), plain) == [[1.5, -2.0, 0, 0]]
    assert read(torch.tensor([[1.5, -2.0, 0, 0]], dtype=torch.float64), plain) == [[1.5, -2.0, 0, 0]]
