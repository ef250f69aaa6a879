"""A CSV file is read cell by cell, and what is wrong with it is named by file, line and column."""

import math

import numpy as np
import pytest

from trainctl.errors import DataError
from trainctl.fileformat.table import Column, encode, find_columns, numbers, read_table

BROKEN = [
    (b"", "needs a header and at least one row; it is empty", "empty"),
    (b"a,b\n", "needs a header and at least one row", "header only"),
    (b"a,b\n1,2\n1\n", "line 3: has 1 cells, but the header has 2", "a cell short"),
    (b"a,b\n\n1,2,3\n", "line 3: has 3 cells, but the header has 2", "a cell too many, after an empty line"),
    (b"a,a\n1,2\n", "line 1: duplicate column a; give each column a name of its own", "a column twice"),
    (b'a,b\n1,2\n"3,4\n5,6\n', "line 3: cannot be read as CSV: a quote is opened and never closed", "open quote"),
    (b'a,b\n1,"2"x\n', "line 2: cannot be read as CSV", "text after a quote"),
    (b"a,b\n1,2\n3,\x004\n", "line 3: cannot be read as CSV: it contains a NUL byte", "NUL"),
    (b"a,b\n1,2\n\xfc,4\n", "line 3: cannot be read as CSV: byte 0xfc is not UTF-8", "Latin-1"),
    (
        "a,b\n1,2\n".encode("utf-16-le"),
        "cannot be read as CSV: it seems to be UTF-16; set dataset.encoding=utf-16-le",
        "UTF-16",
    ),
]
CELLS = [
    ("abc", "line 3, column a: 'abc' is not a number"),
    ("1e400", "line 3, column a: '1e400' exceeds the largest number"),
    ("-1e39", "line 3, column a: '-1e39' exceeds the largest number"),
    ("inf", "line 3, column a: 'inf' is infinite"),
    ("1_000", "line 3, column a: '1_000' is not a number"),
    ("٣", "line 3, column a: '٣' is not a number"),
    (
        '"3,5"',
        "line 3, column a: '3,5' is not a number: if ',' marks thousands, set dataset.thousands=comma; if decimals, dataset.decimal=comma",
    ),
    ("0x10", "line 3, column a: '0x10' is not a number"),
]
UNFIT = [
    (["1/2/2024", "3/4/2024"], [], "could be day/month or month/day: set dataset.dates=day_first or dataset.dates=month_first"),
    ([f"word {i}" for i in range(11)], [], "line 2, column x: 'word 0' is free text (11 distinct values in 11 rows)"),
    (["", "NA", "null"], [], "column x: has no value in 3 rows; drop it with dataset.drop=[x]"),
    (["1", "2", "x", "4"], [], "line 4, column x: 'x' is not a number"),
]  # fmt: skip


def table(tmp_path, content, delimiter="comma"):
    path = tmp_path / "my.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, delimiter)


@pytest.mark.parametrize(("content", "message", "reason"), BROKEN, ids=[row[-1] for row in BROKEN])
def test_a_broken_file_is_named_with_its_line(tmp_path, content, message, reason):
    with pytest.raises(DataError) as caught:
        table(tmp_path, content)
    assert str(tmp_path / "my.csv") in str(caught.value)
    assert message in str(caught.value), reason


@pytest.mark.parametrize(("cell", "message"), CELLS)
def test_a_cell_that_is_no_number_is_named_with_its_line_and_column(tmp_path, cell, message):
    with pytest.raises(DataError) as caught:
        numbers(table(tmp_path, f"a,b\n1,2\n{cell},3\n"), "a")
    assert message in str(caught.value)


def test_a_byte_order_mark_blanks_quotes_and_line_breaks_in_cells_are_no_trouble(tmp_path):
    found = table(tmp_path, '\ufeff a ,"b"\r\n 1 ,"two\nlines, ""here"""\r\n\r\n3,x\r\n')
    assert found.header == ["a", "b"]
    assert found.rows == [["1", 'two\nlines, "here"'], ["3", "x"]]
    assert found.lines == [2, 5]


@pytest.mark.parametrize(("delimiter", "mark"), [("semicolon", ";"), ("tab", "\t"), ("pipe", "|")])
def test_other_delimiters_are_read_and_a_wrong_one_is_guessed(tmp_path, delimiter, mark):
    content = f"a{mark}b\n1{mark}2\n"
    assert numbers(table(tmp_path, content, delimiter), "b").tolist() == [2.0]
    with pytest.raises(DataError, match=rf"the file seems to use another delimiter: dataset\.delimiter={delimiter}"):
        table(tmp_path, content).cells("b")


def test_a_column_that_is_not_there_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(DataError, match=r"my\.csv, line 1: column agee is missing; did you mean age\?"):
        table(tmp_path, "age,b\n1,2\n").cells("agee")


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "NaN", "nan", "null", "None", "?", "  "])
def test_missing_values_have_many_names(tmp_path, cell):
    assert math.isnan(numbers(table(tmp_path, f"a,b\n{cell},1\n"), "a")[0])


def test_columns_are_told_apart(tmp_path):
    rows = [f"{i},{'red' if i % 2 else 'blue'},{i % 3},{'' if i == 5 else i / 7},w{i % 30}" for i in range(120)]
    found = find_columns(
        table(tmp_path, "\n".join(["n,colour,code,x,w", *rows])), ["n", "colour", "code", "x", "w"], ["code"]
    )
    assert found[:4] == (Column("n"), Column("colour", ("blue", "red")), Column("code", ("0", "1", "2")), Column("x"))
    assert len(found[4].categories) == 30


@pytest.mark.parametrize(("cells", "categorical", "message"), UNFIT)
def test_columns_that_are_neither_numbers_nor_categories_are_refused_with_a_hint(tmp_path, cells, categorical, message):
    found = table(tmp_path, "\n".join(["x,y", *(f"{cell},1" for cell in cells)]))
    with pytest.raises(DataError) as caught:
        encode(found, find_columns(found, ["x"], categorical))
    assert message in str(caught.value)


def test_free_text_that_is_named_as_categorical_is_taken(tmp_path):
    found = table(tmp_path, "\n".join(["x,y", *(f"2024-01-{day},1" for day in range(10, 25))]))
    assert len(find_columns(found, ["x"], ["x"])[0].categories) == 15


def test_a_column_without_a_name_is_taken_for_an_index(tmp_path):
    found = table(tmp_path, ",a\n0,5\n1,6\n")
    with pytest.raises(DataError, match=r"line 1: column_1 has no name in the header.*dataset\.drop=\[column_1\]"):
        find_columns(found, ["column_1", "a"], [])
    assert find_columns(found, ["a"], []) == (Column("a"),)


def test_categories_become_ones_and_zeros_and_missing_ones_nan(tmp_path):
    found = table(tmp_path, "c,n\nu,1\nw,2\nNA,\n")
    expected = [[1, 0, 1], [0, 1, 2], [np.nan, np.nan, np.nan]]
    np.testing.assert_array_equal(encode(found, (Column("c", ("u", "w")), Column("n"))), expected)


def test_a_category_that_the_training_data_did_not_have_is_refused(tmp_path):
    found = table(tmp_path, "c,n\nu,1\nz,2\n")
    with pytest.raises(
        DataError, match=r"line 3, column c: 'z' is not one of the categories in the training data \(u, w\)"
    ):
        encode(found, (Column("c", ("u", "w")),))
