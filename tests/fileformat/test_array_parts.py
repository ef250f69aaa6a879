"""New rows are found in an .npz by the names by which the rows for training are found."""

import numpy as np
import pytest

from trainctl.errors import DataError
from trainctl.fileformat.array_parts import PAIRS, SPLITS, read_inputs, read_parts

ROWS, CLASSES = np.arange(12.0).reshape(6, 2), np.arange(6) % 2


@pytest.mark.parametrize("names", PAIRS, ids=lambda pair: pair[0])
def test_inputs_have_the_names_that_training_knows(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (ROWS, CLASSES), strict=True)))
    assert np.array_equal(read_inputs(tmp_path / "a.npz"), read_parts(tmp_path / "a.npz").inputs)
    assert np.array_equal(read_inputs(tmp_path / "a.npz"), ROWS)


@pytest.mark.parametrize("names", SPLITS, ids=lambda pair: pair[0])
def test_all_splits_are_read(tmp_path, names):
    parts = {}
    for split in ("train", "test"):
        parts |= {name.format(split): values for name, values in zip(names, (ROWS, CLASSES), strict=True)}
    np.savez(tmp_path / "a.npz", **parts)
    assert np.array_equal(read_inputs(tmp_path / "a.npz"), np.concatenate([ROWS, ROWS]))


def test_one_array_needs_no_name_and_of_several_unknown_ones_none_is_taken(tmp_path):
    np.savez(tmp_path / "one.npz", anything=ROWS)
    np.save(tmp_path / "rows.npy", ROWS)
    assert np.array_equal(read_inputs(tmp_path / "one.npz"), read_inputs(tmp_path / "rows.npy"))
    np.savez(tmp_path / "two.npz", a=ROWS, b=CLASSES)
    with pytest.raises(DataError, match=r"has no array `inputs` \(arrays: a, b\)"):
        read_inputs(tmp_path / "two.npz")
