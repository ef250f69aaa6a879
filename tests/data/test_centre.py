"""Numbers that differ in a file differ in the tensor, or a note says which do not; columns that need no centre keep theirs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.soak import generated
from trainctl.components.dataset.arrays import arrays
from trainctl.components.dataset.base import Dataset
from trainctl.components.dataset.csv import csv
from trainctl.components.dataset.series import series
from trainctl.data.centre import add, centre_of, narrowed, subtract
from trainctl.data.schema import Schema, fingerprint

MORE = {"keep": "auto", "memory": None, "cache": None}
CELLS, STEPS = (
    {**yaml.safe_load((ROOT / f"conf/dataset/{name}.yaml").read_text()), "schema": None} for name in ("csv", "series")
)
CELLS["task"] = "regression"
for settings in (CELLS, STEPS):
    for key in ("name", "defaults"):
        settings.pop(key, None)


def dataset(inputs, targets=None):
    inputs = torch.as_tensor(np.asarray(inputs))
    targets = torch.zeros(len(inputs), 1) if targets is None else torch.as_tensor(np.asarray(targets))
    return Dataset(
        inputs, targets, "regression", input_names=tuple("abcdefgh"[: inputs.shape[-1]]), target_names=("y",)
    )


def distinct(values):
    return len(np.unique(values))


@pytest.mark.parametrize(
    ("values", "centred", "reason"),
    [
        (2459000.5 + np.arange(300) / 300, True, "Julian dates"),
        (1_700_000_000 + np.arange(112) * 60.0, True, "time stamps in seconds"),
        (1_000_000 + np.arange(40) / 100, True, "prices with cents"),
        (5_214_000 + np.arange(200) * 0.01, True, "coordinates in metres"),
        (np.append(1e9 + np.arange(90.0), np.zeros(110)), True, "more than half of them a word for missing"),
        (np.random.default_rng(0).normal(size=5000), False, "all digits of a double, around 0"),
        (np.random.default_rng(0).uniform(size=5000), False, "all digits of a double, in 0..1"),
        (1013.25 + np.arange(-40, 40) / 4, False, "quarters, which float32 has"),
        (1013.2 + np.arange(-80, 80) / 10, False, "rounded far below their spread"),
        (np.arange(1990.0, 2027), False, "years"),
        (np.full(9, 1e9 + 0.1), False, "a constant"),
        (np.array([0.1] * 95 + [0.0] * 5), False, "two values"),
        (np.array([5.3]), False, "one value"),
        (np.array([]), False, "no value"),
    ],
)
def test_only_columns_that_would_lose_digits_have_a_centre(values, centred, reason):
    assert (centre_of(np.sort(values)) != 0 if len(values) else False) == centred, reason
    result = narrowed(dataset(np.stack([values, np.arange(len(values)) * 0.1], axis=1)))
    assert bool(result.input_centre) == centred, reason
    if centred:
        assert result.input_centre[1] == 0
        assert distinct(result.inputs[:, 0]) == distinct(values)
        assert result.notes == ()
    else:  # the same bits as without any centre
        assert torch.equal(result.inputs[:, 0], torch.from_numpy(values).float())
    assert torch.equal(result.inputs[:, 1], (torch.arange(len(values)).double() * 0.1).float())


@pytest.mark.soak
@generated(60)
@given(
    st.floats(-1e12, 1e12),
    st.floats(1e-6, 1e9),
    st.integers(2, 60),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["float64", "int64", "cents", "sentinel"]),
)
def test_numbers_that_differ_stay_different_or_a_note_says_so(offset, spread, rows, seed, kind):
    values = offset + spread * np.random.default_rng(seed).normal(size=rows)
    if kind == "int64":
        values = np.rint(values)
    elif kind == "cents":
        values = np.round(values, 2)
    elif kind == "sentinel":
        values[: rows // 2] = -999
    result = narrowed(dataset(values[:, None], values[::-1, None].copy()))
    for name, tensor, centre in (
        ("column a", result.inputs, result.input_centre),
        ("target y", result.targets, result.target_centre),
    ):
        assert tensor.dtype == torch.float32
        said = any(note.startswith(f"{name}: {distinct(values):,} distinct") for note in result.notes)
        assert said == (distinct(tensor) < distinct(values))
        if not centre:
            assert torch.equal(tensor.sort(0).values, torch.from_numpy(np.sort(values))[:, None].float())
    back = add(result.targets, result.target_centre).double().numpy()[::-1, 0]
    rounding = max(np.abs(np.float32(values) - values).max(), 6e-8 * np.ptp(values))  # as float32 has it, at most
    assert np.abs(back - values).max() <= rounding
    if (
        kind == "float64" and 1e9 * spread > abs(offset) > 1e4 * spread and rows > 9
    ):  # then a centre is what keeps the digits
        assert result.target_centre
        assert np.abs(back - values).max() <= 2e-6 * np.ptp(values) + 1e-15 * abs(offset)


def files(tmp_path: Path) -> dict[str, Dataset]:
    """Return the same numbers, read as a table, as arrays, and as a series."""
    stamps = 1_700_000_000.25 + np.arange(60)
    prices = 1_000_000 + np.arange(60) / 100
    Path("t.csv").write_text(
        "t,x,y\n" + "".join(f"{t!r},7,{y!r}\n" for t, y in zip(stamps.tolist(), prices.tolist(), strict=True))
    )
    np.savez("t.npz", inputs=np.stack([stamps, np.arange(60)], 1), targets=prices)
    return {
        "csv": csv(**CELLS | {"path": "t.csv", "target": "y"}),
        "arrays": arrays(path="t.npz", targets=None, task="auto", schema=None, **MORE),
        "series": series(**STEPS | {"path": "t.csv", "columns": ["t", "y"], "window": 3, "horizon": 2}),
    }


@pytest.mark.parametrize("name", ["csv", "arrays", "series"])
def test_every_reader_of_files_keeps_all_digits(tmp_path, name):
    read = files(tmp_path)[name]
    result = narrowed(read)
    assert not [note for note in result.notes if "distinct numbers" in note]
    assert result.input_centre[0] > 1.7e9 - 1
    for before, after, centre in (
        (read.inputs, result.inputs, result.input_centre), (read.targets, result.targets, result.target_centre)
    ):  # fmt: skip
        assert after.dtype == torch.float32
        assert after.is_contiguous()
        width = len(centre)
        back = add(after.reshape(-1, width), centre)
        torch.testing.assert_close(back, before.reshape(-1, width), rtol=0, atol=2e-8)


@pytest.mark.parametrize("name", ["csv", "arrays", "series"])
def test_a_measured_run_has_the_centres_of_its_training_and_an_older_one_none(tmp_path, name):
    read = files(tmp_path)[name]
    trained = Schema.of(narrowed(read))
    again = Schema.from_json(json.loads(json.dumps(trained.to_json())), "x")
    assert again == trained
    shifted = narrowed(Dataset(read.inputs + 5, read.targets + 5, "regression"), trained)
    assert (shifted.input_centre, shifted.target_centre) == (trained.input_centre, trained.target_centre)
    torch.testing.assert_close(shifted.targets, narrowed(read).targets + 5, atol=1e-4, rtol=0)
    older = Schema.from_json({key: value for key, value in trained.to_json().items() if "centre" not in key}, "x")
    plain = narrowed(read, older)
    assert (plain.input_centre, plain.target_centre) == ((), ())
    assert torch.equal(plain.inputs, read.inputs.float())
    assert len(plain.notes) >= 1


def test_float32_rows_take_the_centre_of_a_run_that_has_one():
    assert subtract(torch.tensor([[5.0]]), [4.0]).tolist() == [[1.0]]
    assert subtract(torch.tensor([[7]]), [4.0]).tolist() == [[7]]
    assert subtract(torch.zeros(2, 3), [4.0]).tolist() == torch.zeros(2, 3).tolist()  # other columns: refused later


def test_the_fingerprint_knows_the_centre():
    first, second = (narrowed(dataset(start + np.arange(99.0)[:, None])) for start in (1e9, 1e9 + 64e4))
    assert torch.equal(first.inputs, second.inputs)
    assert fingerprint(first) != fingerprint(second)


def test_many_columns_that_lose_digits_share_a_line():
    values = np.arange(40)[:, None] // 2 * 1e9 + np.arange(40)[:, None] % 2
    result = narrowed(dataset(np.repeat(values, 6, axis=1)))
    assert [note.partition(":")[0] for note in result.notes] == [
        "column a", "column b", "column c", "the same is true of 3 more"
    ]  # fmt: skip
    assert result.notes[-1].endswith(": column d, column e, column f")


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.longdouble])
def test_digits_that_float64_lacks_are_said(kind):
    nanoseconds = (np.arange(30) + 1_700_000_000_000_000_000).astype(kind)
    np.savez("t.npz", inputs=np.stack([nanoseconds, np.arange(30).astype(kind)], 1), targets=nanoseconds)
    notes = arrays(path="t.npz", targets=None, task="regression", schema=None, **MORE).notes
    assert [note.partition(" distinct")[0] for note in notes] == ["column 0: 30", "target_0: 30"]
    Path("t.csv").write_text("t,x,y\n" + "".join(f"{int(t)},{t % 7}.5,{int(t)}\n" for t in nanoseconds))
    notes = csv(**CELLS | {"path": "t.csv", "target": "y"}).notes
    assert [note.partition(" distinct")[0] for note in notes] == ["column t: 30", "column y: 30"]


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint8, np.int16, np.float16, np.float32])
def test_types_that_float32_holds_are_not_copied_to_float64(kind):
    np.savez("t.npz", inputs=np.ones((30, 2), kind), targets=np.ones(30, np.float32))
    assert arrays(path="t.npz", targets=None, task="regression", schema=None, **MORE).inputs.dtype == torch.float32
