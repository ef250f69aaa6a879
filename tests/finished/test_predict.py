"""Files of inputs are read as rows of the shape that a run was trained with."""

import numpy as np
import pytest

from tests.schemas import schema
from trainctl.components.dataset.base import Encoding
from trainctl.errors import DataError
from trainctl.finished.predict import as_rows, read

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


def test_a_table_between_tabs_is_read(tmp_path):
    trained = schema(input_names=("a", "b"), encoding=Encoding(delimiter="tab"))
    for name in ("my.tsv", "my.txt", "my.csv"):
        (tmp_path / name).write_text("b\ta\n1\t2\n")
        assert read(tmp_path / name, trained).rows.tolist() == [[2, 1]]


def test_a_cell_without_a_text_is_refused_as_in_training(tmp_path):
    (tmp_path / "my.tsv").write_text("n\twords\n1\tgood\n2\tnew bad\n")
    assert read(tmp_path / "my.tsv", TEXTS).rows.tolist() == [[2, 0, 0, 0], [1, 3, 0, 0]]
    (tmp_path / "my.tsv").write_text("n\twords\n1\tgood\n2\t\n")
    with pytest.raises(DataError, match=r"my\.tsv, line 3, column words: has no text"):
        read(tmp_path / "my.tsv", TEXTS)
