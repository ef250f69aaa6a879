"""One class has one number, however a file writes it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import generated
from trainctl.fileformat.label import Codes, distinct, meaning
from trainctl.fileformat.table import Column, find_columns, one_hot, read_table
from trainctl.fileformat.target import read_target


@pytest.mark.parametrize(
    ("spellings", "names"),
    [
        (["1", "1.0", "0", "0.0"], ("0", "1")),
        (["1.0", "0.0"], ("0.0", "1.0")),
        (["+1", "1e0", "-1", "-1.00"], ("-1", "+1")),
        (["True", "true", "TRUE", "False", "false", "false"], ("TRUE", "false")),
        (["2.0", "2", "unknown"], ("2", "unknown")),
        (["01", "1", "2"], ("1", "2")),
        (["1.5", "1.50", "2"], ("1.5", "2")),
        (["9007199254740993", "9007199254740992"], ("9007199254740992", "9007199254740993")),
        (["yes", "Yes", "no"], ("Yes", "no", "yes")),
        (["1e99999999", "1"], ("1", "1e99999999")),
    ],
)
def test_each_value_is_one_class(spellings, names):
    Path("t.csv").write_text("y\n" + "".join(f"{text}\n" for text in spellings * 3))
    table = read_table(Path("t.csv"))
    codes, found = read_target(table, "y", "classification")
    assert found == names
    assert [meaning(found[code]) for code in codes] == [meaning(text) for text in spellings * 3]
    again, _ = read_target(table, "y", "classification", names)
    assert again.tolist() == codes.tolist()


def test_a_run_that_took_them_for_different_classes_is_measured_as_it_was_trained():
    codes = Codes(("0", "0.0", "1", "1.0"))
    assert [codes.get(text) for text in ("0", "0.0", "1", "1.0", "1.00", "2")] == [0, 1, 2, 3, 2, None]


def test_categories_are_compared_in_the_same_way():
    Path("t.csv").write_text("zip,y\n1,a\n1.0,b\n2,a\n2.0,b\n")
    table = read_table(Path("t.csv"))
    (column,) = find_columns(table, ["zip"], ["zip"])
    assert column == Column("zip", ("1", "2"))
    assert one_hot(table, column).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


@pytest.mark.soak
@generated(60)
@given(st.lists(st.integers(-20, 20), min_size=2, unique=True), st.randoms(use_true_random=False))
def test_whole_numbers_in_any_spelling_are_the_classes_that_numpy_finds(values, random):
    rows = [random.choice(values) for _ in range(40)] + values
    texts = [random.choice([f"{v}", f"{v}.0", f"{v}.", f"{v}.000", f"{v}e0", f"{v * 10}e-1"]) for v in rows]
    names = distinct(texts)
    assert sorted(map(float, names)) == np.unique(rows).tolist()
    codes = Codes(names)
    assert [float(names[codes.get(text)]) for text in texts] == rows
