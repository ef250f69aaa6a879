"""Another table is read as a finished run needs it, with the columns that identify its rows."""

import pytest

from tests.schemas import schema
from trainctl.components.dataset.base import Encoding
from trainctl.errors import DataError
from trainctl.fileformat.number import NumberFormat
from trainctl.fileformat.table import Column
from trainctl.finished.table_inputs import read_table_inputs, table_form

NAMED = schema(input_names=("x", "c=a", "c=b"), columns=(Column("x"), Column("c", ("a", "b"))))
GERMAN = schema(input_names=("x",), columns=(Column("x", number=NumberFormat(",", ".")),), input_shape=(1,))


def read(tmp_path, content, trained=NAMED, *, name="new.csv", changed=(), ids=(), **settings):
    (tmp_path / name).write_text(content)
    form = table_form(settings, [f"dataset.{key}" for key in changed], trained)
    return read_table_inputs(tmp_path / name, trained, form, settings, ids)


def test_columns_that_identify_rows_are_kept_in_order(tmp_path):
    found = read(tmp_path, "c,who,x,n\na,Ann,1,7\nb,=Bob,2,8\n", ids=("who", "n"))
    assert found.rows.tolist() == [[1, 1, 0], [2, 0, 1]]
    assert found.names == ("who", "n")
    assert [list(cells) for cells in found.cells] == [["Ann", "7"], ["=Bob", "8"]]
    with pytest.raises(DataError, match=r"column whom is missing; did you mean who\?"):
        read(tmp_path, "c,who,x\na,Ann,1\n", ids=("whom",))


def test_an_unseen_category_is_counted_and_the_other_rows_are_read(tmp_path):
    found = read(tmp_path, "c,x\na,1\nz,2\nz,3\nb,4\n")
    assert found.rows.tolist() == [[1, 1, 0], [2, 0, 0], [3, 0, 0], [4, 0, 1]]
    assert found.notes == (
        "column c: 'z' (2 rows) did not occur in the training data; encoded as no category (all zeros)",
    )
    with pytest.raises(DataError, match="line 3, column c: 'z' is not one of the categories"):
        read(tmp_path, "c,x\na,1\nz,2\n", unknown="error")


@pytest.mark.parametrize("name", ["new.tsv", "new.csv", "new.txt"])
def test_another_delimiter_than_in_training_is_found(tmp_path, name):
    assert read(tmp_path, "c\tx\na\t1\n", name=name).rows.tolist() == [[1, 1, 0]]
    assert read(tmp_path, "c;x\na;1\n", delimiter="semicolon", changed=("delimiter",), name=name).rows.tolist() == [
        [1, 1, 0]
    ]


def test_a_file_without_a_header_is_noticed(tmp_path):
    nameless = schema(input_shape=(2,))
    found = read(tmp_path, "0.5,1\n2,3\n", nameless)
    assert found.rows.tolist() == [[0.5, 1], [2, 3]]
    assert found.notes == ("line 1 contains numbers, and is read as the first row: the file has no header",)
    assert read(tmp_path, "a,b\n2,3\n", nameless).notes == ()
    with pytest.raises(DataError, match=r"column x is missing; line 1 seems to be data"):
        read(tmp_path, "0.5,1\n2,3\n")
    assert read(tmp_path, "0.5,a\n2,b\n", header=False).rows.tolist() == [[0.5, 1, 0], [2, 0, 1]]
    with pytest.raises(
        DataError, match=r"has 3 columns without names \(dataset\.header=false\); this run reads 2: x, c"
    ):
        read(tmp_path, "0.5,a,1\n", header=False)


def test_numbers_are_read_as_in_training_unless_the_command_says_otherwise(tmp_path):
    assert read(tmp_path, "x;y\n1.234,5;1\n1.234;1\n", GERMAN).rows.tolist() == [[1234.5], [1234]]
    with pytest.raises(
        DataError, match=r"'1,234\.5' is not a number; the numbers of this column are read as in 1\.234,5"
    ):
        read(tmp_path, 'x,y\n"1,234.5",1\n', GERMAN)
    settings = {"decimal": "point", "thousands": "auto"}
    found = read(tmp_path, 'x,y\n"1,234.5",1\n', GERMAN, changed=("decimal",), **settings)
    assert found.rows.tolist() == [[1234.5]]
    # What the configuration says of the training file is not said of this one.
    assert read(tmp_path, "x;y\n1,5;1\n", GERMAN, **settings).rows.tolist() == [[1.5]]


def test_numbers_of_json_mean_what_they_say_however_the_training_file_wrote_its_numbers(tmp_path):
    assert read(tmp_path, '{"x": 1234.5}\n{"x": null}\n{"x": 3}\n', GERMAN, name="new.jsonl").rows[[0, 2]].tolist() == [
        [1234.5],
        [3],
    ]
    assert read(tmp_path, '[{"x": "1.234,5"}]', GERMAN, name="new.json").rows.tolist() == [[1234.5]]
    with pytest.raises(
        DataError, match=r"'1234\.5' is not a number; the numbers of this column are read as in 1\.234,5"
    ):
        read(tmp_path, '[{"x": "1234.5"}, {"x": 2}]', GERMAN, name="new.json")


def test_a_missing_column_is_named_with_those_that_were_found(tmp_path):
    with pytest.raises(DataError, match=r"line 1: column c is missing \(found: x, n\)"):
        read(tmp_path, "x,n\n1,2\n")


def test_one_row_without_a_header_is_a_row(tmp_path):
    found = read(tmp_path, "0.5,1\n", schema(input_shape=(2,)))
    assert found.rows.tolist() == [[0.5, 1]]
    assert "line 1 contains numbers, and is read as the first row: the file has no header" in found.notes
    with pytest.raises(DataError, match="needs a header and at least one row"):
        read(tmp_path, "a,b\n", schema(input_shape=(2,)))
    with pytest.raises(DataError, match="needs a header and at least one row"):
        read(tmp_path, "0.5,1\n")


def test_lines_that_training_skipped_are_not_skipped_in_another_file(tmp_path):
    assert len(read(tmp_path, "c,x\na,1\nb,2\n", skip=[2]).rows) == 2
    assert len(read(tmp_path, "c,x\na,1\nb,2\n", skip=[2], changed=("skip",)).rows) == 1


def test_windows_of_a_series_end_with_the_newest_and_say_which_series_they_are_of(tmp_path):
    trained = schema(
        task="regression",
        outputs=1,
        class_names=(),
        input_names=("v",),
        input_shape=(2, 1),
        encoding=Encoding(window=2),
    )
    content = "day,who,v\n2024-01-03,a,3\n2024-01-02,a,2\n2024-01-01,a,1\n2024-01-02,b,20\n2024-01-01,b,10\n"
    found = read(tmp_path, content, trained, time="day", entity="who")
    assert found.rows[:, :, 0].tolist() == [[1, 2], [2, 3], [10, 20]]
    assert found.names == ("who", "last day")
    assert found.cells == [["a", "2024-01-02"], ["a", "2024-01-03"], ["b", "2024-01-02"]]
    newest_first = read(tmp_path, "day,v\n2024-01-03,3\n2024-01-02,2\n2024-01-01,1\n", trained)
    assert newest_first.rows[-1, :, 0].tolist() == [2, 3]
    assert "newest first" in newest_first.notes[0]
