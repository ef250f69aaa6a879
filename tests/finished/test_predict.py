"""Files of inputs are read as rows of the shape that a run was trained with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.schemas import schema
from tests.soak import cases, seed
from trainctl.components.dataset.base import Encoding
from trainctl.errors import DataError
from trainctl.finished.inputs import batches, expand
from trainctl.finished.source import as_rows
from trainctl.finished.table_inputs import read_table_inputs, table_form
from trainctl.finished.text_inputs import read_text_inputs

ROWS = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
TEXTS = schema(
    input_shape=(4,),
    vocabulary=("<pad>", "<unknown>", "good", "bad"),
    encoding=Encoding(text="words", level="words", lowercase=True, delimiter="tab"),
)


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        (ROWS, 2),
        (ROWS[0], 1),
        (ROWS.reshape(2, -1), 2),
        (ROWS.transpose(0, 2, 3, 1), 2),
        (ROWS[0].transpose(1, 2, 0), 1),
    ],
    ids=["images", "one", "flat", "channels last", "one, channels last"],
)
def test_images_are_understood_in_the_layouts_that_training_understands(tmp_path, values, rows):
    found = as_rows(values, schema(input_shape=(3, 4, 5)), tmp_path / "x.npy")
    assert found.tolist() == ROWS[:rows].tolist()


def test_rows_that_fit_both_ways_are_taken_as_they_are(tmp_path):
    cube = np.arange(27, dtype=np.uint8).reshape(1, 3, 3, 3)
    assert as_rows(cube, schema(input_shape=(3, 3, 3)), tmp_path / "x.npy").tolist() == cube.tolist()


def read(file, trained):
    """Read a file as a run with this schema does."""
    form = table_form({}, (), trained)
    return read_text_inputs(file, trained, form) if trained.vocabulary else read_table_inputs(file, trained, form, {})


def test_a_table_between_tabs_is_read(tmp_path):
    trained = schema(input_names=("a", "b"), encoding=Encoding(delimiter="tab"))
    for name in ("my.tsv", "my.txt", "my.csv"):
        (tmp_path / name).write_text("b\ta\n1\t2\n")
        assert read(tmp_path / name, trained).rows.tolist() == [[2, 1]]


def test_a_table_with_another_delimiter_than_in_training_is_read(tmp_path):
    trained = schema(input_names=("a", "b"), encoding=Encoding(delimiter="comma"))
    for name, mark in (("my.tsv", "\t"), ("my.txt", "\t"), ("my.csv", ";"), ("your.csv", "|"), ("his.csv", ",")):
        (tmp_path / name).write_text(f"b{mark}a\n1{mark}2\n")
        assert read(tmp_path / name, trained).rows.tolist() == [[2, 1]], name


def test_cells_without_a_text_hold_no_other_row_back(tmp_path):
    (tmp_path / "my.tsv").write_text("n\twords\n1\tgood\n2\t\n3\tnew bad\n")
    found = read(tmp_path / "my.tsv", TEXTS)
    assert found.rows.tolist() == [[2, 0, 0, 0], [1, 3, 0, 0]]
    assert found.numbers == [0, 2]
    assert found.notes == (f"{tmp_path / 'my.tsv'}: 1 row has no text and is not predicted (lines 3)",)
    (tmp_path / "my.tsv").write_text("n\twords\n1\t \n")
    with pytest.raises(DataError, match=r"my\.tsv: contains no text"):
        read(tmp_path / "my.tsv", TEXTS)


def test_rows_of_a_text_file_are_joined_to_its_lines(tmp_path):
    (tmp_path / "new.txt").write_bytes("good\u2028bad\r\n\r\nbad bad bad bad bad\rnew".encode())
    found = read(tmp_path / "new.txt", schema(**vars(TEXTS) | {"encoding": replace(TEXTS.encoding, normalize="nfc")}))
    assert found.rows.tolist() == [[2, 3, 0, 0], [3, 3, 3, 3], [1, 0, 0, 0]]
    assert (found.names, found.cells) == (("line",), [[1], [3], [4]])
    assert found.coverage.notes(4) == [
        "1 of 7 tokens (14.3%) is not in the run's vocabulary, such as 'new'",
        "1 of 3 texts is cut after 4 tokens, as in training",
    ]
    assert len(read(tmp_path / "new.txt", TEXTS).rows) == 4  # as the first version counted lines


def test_a_run_on_files_of_one_text_each_reads_a_file_as_one_text(tmp_path):
    trained = schema(**vars(TEXTS) | {"encoding": replace(TEXTS.encoding, whole_files=True, normalize="nfc")})
    (tmp_path / "new.txt").write_text("good\n\nbad\n")
    found = read(tmp_path / "new.txt", trained)
    assert (found.rows.tolist(), found.names) == ([[2, 3, 0, 0]], ())


def test_a_directory_gives_the_files_that_the_run_reads(tmp_path):
    for name in ("a.png", "deep/b.JPG", "c.csv", "d.npy", "Thumbs.db", ".e.png", "f.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "gone.png").symlink_to("nowhere")
    names = {
        "images": (schema(input_shape=(3, 4, 4)), ["a.png", "deep/b.JPG"]),
        "tables": (schema(input_names=("a", "b")), ["c.csv"]),
        "texts": (TEXTS, ["c.csv"]),
    }
    for what, (trained, files) in names.items():
        found, notes = expand([tmp_path, tmp_path / "f.pdf"], trained)
        assert [str(path.relative_to(tmp_path)) for path in found] == [*files, "f.pdf"]
        assert f"not used, because this run reads {what}: " in notes[0]
        assert (what == "images") == any("gone.png: not used, because it is a broken link" in note for note in notes)
    with pytest.raises(DataError, match=r"deep: contains no texts for this run; contains 1 \.JPG"):
        expand([tmp_path / "deep"], TEXTS)


def test_packed_tables_of_a_directory_are_read_and_other_packed_files_are_not(tmp_path):
    for name in ("a.csv", "b.CSV.gz", "c.tsv.zip", "d.npz.gz", "e.zip", "f.png.xz"):
        (tmp_path / name).write_text("x")
    found, notes = expand([tmp_path], schema(input_names=("a", "b")))
    assert [path.name for path in found] == ["a.csv", "b.CSV.gz", "c.tsv.zip"]
    assert notes[0].endswith("this run reads tables: 1 .gz, 1 .xz and 1 .zip")
    (tmp_path / "f.png").write_text("x")
    assert [path.name for path in expand([tmp_path], schema(input_shape=(3, 4, 4)))[0]] == ["f.png"]


@pytest.mark.soak
@pytest.mark.parametrize("size", [1, 3, 7])
def test_batches_have_all_rows_in_their_order_wherever_they_come_from(size):
    source = seed(f"batches {size}")
    for _ in range(cases(20)):
        counts = [source.randrange(9) for _ in range(source.randrange(6))]
        rows = torch.arange(sum(counts))[:, None]
        parts = [([{"row": int(row)} for row in part], part) for part in rows.split(counts)] if counts else []
        found = list(batches(parts, size))
        assert [label["row"] for labels, _ in found for label in labels] == rows.flatten().tolist()
        assert [int(row) for _, batch in found for row in batch] == rows.flatten().tolist()
        assert all(len(labels) == len(batch) == size for labels, batch in found[:-1])
        assert all(0 < len(batch) <= size for _, batch in found[-1:])
