"""Arrays of the user's own."""

import numpy as np
import pytest
import torch

from trainctl.components.dataset.arrays import arrays
from trainctl.data.centre import narrowed
from trainctl.errors import ConfigError, DataError

MORE = {"keep": "auto", "memory": None, "cache": None}
BYTES = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
CLASSES = np.array([1, 0])


@pytest.fixture
def load(tmp_path):
    def read(inputs, targets, task="auto"):
        np.savez(tmp_path / "my.npz", inputs=inputs, targets=targets)
        return arrays(path=str(tmp_path / "my.npz"), targets=None, task=task, schema=None, **MORE)

    return read


@pytest.mark.parametrize(
    ("inputs", "shape", "dtype"),
    [
        (np.zeros((2, 5)), (2, 5), torch.float64),
        (np.zeros((2, 5, 3), dtype=np.int16), (2, 5, 3), torch.float32),
        (BYTES, (2, 3, 4, 5), torch.uint8),
        (BYTES.transpose(0, 2, 3, 1), (2, 3, 4, 5), torch.uint8),
        (BYTES[:, 0], (2, 1, 4, 5), torch.uint8),
    ],
)
def test_tables_sequences_and_images_are_told_by_shape_and_type(load, inputs, shape, dtype):
    dataset = load(inputs, CLASSES)
    assert (tuple(dataset.inputs.shape), dataset.inputs.dtype) == (shape, dtype)
    if inputs is not BYTES and inputs.shape == (2, 4, 5, 3):
        assert dataset.inputs.numpy().tolist() == BYTES.tolist()


@pytest.mark.parametrize(
    ("targets", "task", "found", "names"),
    [
        (CLASSES, "auto", [1, 0], ("0", "1")),
        (np.array([[1], [0]]), "auto", [1, 0], ("0", "1")),
        (np.array([True, False]), "auto", [1, 0], ("0", "1")),
        (np.array([1.0, 0.0]), "classification", [1, 0], ("0", "1")),
        (np.array([1.0, 0.0]), "auto", [[1], [0]], ()),
        (CLASSES, "regression", [[1], [0]], ()),
        (np.array([[1, 2], [3, 4]]), "auto", [[1, 2], [3, 4]], ()),
    ],
)
def test_the_task_is_told_by_the_targets_or_given(load, targets, task, found, names):
    dataset = load(np.zeros((2, 1)), targets, task)
    assert dataset.targets.tolist() == found
    assert dataset.class_names == names


def test_two_files_do_as_well_as_one(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    np.save(tmp_path / "y.npy", CLASSES)
    paths = {"path": str(tmp_path / "x.npy"), "task": "auto", "schema": None, **MORE}
    assert arrays(targets=str(tmp_path / "y.npy"), **paths).targets.tolist() == [1, 0]
    with pytest.raises(ConfigError, match=r"dataset\.targets=null: x\.npy contains only inputs"):
        arrays(targets=None, **paths)


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (np.zeros((3, 1)), CLASSES, r"inputs have shape \(3, 1\), targets \(2,\)"),
        (np.zeros(2), CLASSES, r"inputs have shape \(2,\)"),
        (np.zeros((0, 3)), np.zeros(0), r"inputs have shape \(0, 3\), targets \(0,\)"),
        (np.zeros((2, 0)), CLASSES, r"inputs have shape \(2, 0\)"),
        (np.zeros((2, 1)), np.zeros((2, 0)), r"targets \(2, 0\)"),
        (np.zeros((1, 1)), np.array(1), r"targets \(\)"),
        (np.zeros((2, 1)), np.array([0, 0]), "has only one class"),
        (np.zeros((2, 1, 4, 4)), CLASSES, r"images must be bytes \(uint8\)"),
        (np.zeros((2, 1, 1, 1, 1)), CLASSES, r"inputs have shape \(2, 1, 1, 1, 1\)"),
        (np.array([["a"], ["b"]]), CLASSES, "not numbers; store numbers, or a table as CSV"),
        (np.ones((2, 1, 4, 4), dtype=np.float32), CLASSES, r"in 1..1; store \(255 \* x\)"),
        (np.full((2, 1, 4, 4), 256), CLASSES, r"found int64 in 256..256$"),
        (np.zeros(2, dtype=[("a", "f4"), ("b", "f4")]), CLASSES, r"fields with names \(a, b\); store plain numbers"),
        (np.array([[object()], [object()]]), CLASSES, "cannot be read"),
    ],
)
def test_arrays_that_do_not_fit_are_named(load, inputs, targets, message):
    with pytest.raises(DataError, match=message):
        load(inputs, targets)


def test_a_file_that_is_no_archive_is_named(tmp_path):
    (tmp_path / "my.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(DataError, match=r"my\.npz: cannot be read"):
        arrays(path=str(tmp_path / "my.npz"), targets=None, task="auto", schema=None, **MORE)


def test_the_only_array_of_a_file_is_not_its_inputs_and_its_targets(tmp_path):
    for name in ("inputs", "targets", "arr_0"):
        np.savez(tmp_path / "my.npz", **{name: np.ones((4, 3))})
        with pytest.raises(
            DataError,
            match=rf"my\.npz: has no array `\w+` \(arrays: {name}\); name the array to use `(inputs|targets)`",
        ):
            arrays(
                path=str(tmp_path / "my.npz"),
                targets=None,
                task="auto",
                keep="auto",
                memory=None,
                cache=None,
                schema=None,
            )
    np.save(tmp_path / "y.npy", np.ones(4))
    assert (
        arrays(
            path=str(tmp_path / "my.npz"),
            targets=str(tmp_path / "y.npy"),
            task="auto",
            keep="auto",
            memory=None,
            cache=None,
            schema=None,
        ).outputs
        == 1
    )


def test_a_number_beyond_float32_is_infinite_without_a_warning(load):
    dataset = narrowed(load(np.array([[1e300], [1.0]]), np.array([-1e300, 1.0])))
    assert dataset.inputs.tolist() == [[np.inf], [1]]
    assert dataset.targets.tolist() == [[-np.inf], [1]]


def test_a_header_that_never_ends_is_named(tmp_path):
    np.save(tmp_path / "my.npy", np.ones((4, 3)))
    (tmp_path / "my.npy").write_bytes((tmp_path / "my.npy").read_bytes().replace(b"}", b" "))
    with pytest.raises(DataError, match=r"my\.npy: cannot be read: "):
        arrays(
            path=str(tmp_path / "my.npy"),
            targets=str(tmp_path / "my.npy"),
            task="auto",
            keep="auto",
            memory=None,
            cache=None,
            schema=None,
        )


@pytest.mark.parametrize(
    ("targets", "task", "codes", "names"),
    [
        (np.array(["b", "a", "b"]), "auto", [1, 0, 1], ("a", "b")),
        (np.array([1, 2, 1]), "auto", [0, 1, 0], ("1", "2")),
        (np.array([-1, 1, -1]), "auto", [0, 1, 0], ("-1", "1")),
        (np.array([[0, 1], [1, 0], [0, 1]]), "classification", [1, 0, 1], ("0", "1")),
    ],
)
def test_classes_may_be_texts_any_whole_numbers_or_one_hot(load, targets, task, codes, names):
    found = load(np.zeros((3, 1)), targets, task)
    assert (found.targets.tolist(), found.class_names) == (codes, names)


@pytest.mark.parametrize(
    ("targets", "task", "other"),
    [
        (np.eye(3), "regression", "dataset.task=classification (targets are one-hot"),
        (np.array([0.0, 1.0, 1.0]), "regression", "dataset.task=classification"),
        (np.array([0.5, 1.0, 1.0]), "regression", ""),
        (np.array([0, 1, 1]), "classification", "dataset.task=regression"),
        (np.array([True, False, True]), "classification", "dataset.task=regression"),
        (np.array(["a", "b", "b"]), "classification", ""),
    ],
)
def test_the_setting_that_makes_it_the_other_task_is_named_where_it_is_likely(load, targets, task, other):
    found = load(np.zeros((3, 1)), targets)
    assert found.task == task
    assert found.other_task.startswith(other)
    assert bool(found.other_task) == bool(other)


@pytest.mark.parametrize(("x", "y"), [("x_{}", "y_{}"), ("X_{}", "y_{}"), ("{}_images", "{}_labels")])
@pytest.mark.parametrize("middle", ["val", None])
def test_the_splits_of_other_libraries_are_taken(tmp_path, x, y, middle):
    parts = {part: size for part, size in (("train", 5), (middle, 3), ("test", 2)) if part}
    content = {}
    for number, (part, size) in enumerate(parts.items()):
        content |= {x.format(part): np.full((size, 2), number), y.format(part): np.arange(size) % 2}
    np.savez(tmp_path / "my.npz", **content)
    found = arrays(path=str(tmp_path / "my.npz"), targets=None, task="auto", schema=None, **MORE)
    assert (found.val_rows, found.test_rows, len(found.inputs)) == (3 if middle else 0, 2, sum(parts.values()))
    assert found.inputs[-1].unique().tolist() == [len(parts) - 1]
    assert ("splits", f"as the file has them: {', '.join(x.format(part) for part in parts)}") in found.inferred


def test_images_of_other_whole_numbers_are_bytes_and_squares_of_numbers_are_mentioned(load):
    found = load(BYTES.astype(np.int64), CLASSES)
    assert found.inputs.dtype == torch.uint8
    found = load(np.random.default_rng(0).random((2, 9, 9)), CLASSES)
    assert "if they are grey images of 9x9 pixels, store them as (255 * x)" in found.notes[0]
    assert not load(np.random.default_rng(0).random((2, 9, 3)), CLASSES).notes
