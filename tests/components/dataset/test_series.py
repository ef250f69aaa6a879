"""A series in time of the user's own."""

import numpy as np
import pytest
import torch
import yaml

from tests.conftest import ROOT
from tests.soak import cases, seed
from trainctl.components.clean.drop import drop
from trainctl.components.clean.none import none
from trainctl.components.dataset.series import series
from trainctl.data.split import split_rows
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.date import written
from trainctl.settings.config import Split

DEFAULTS = yaml.safe_load((ROOT / "conf/dataset/series.yaml").read_text())
KEYS = {key: DEFAULTS[key] for key in DEFAULTS if key not in ("name", "defaults")}
KEYS |= {"columns": ["a", "b"], "window": 3, "horizon": 2, "schema": None}


@pytest.fixture
def load(tmp_path):
    def read(rows=10, **changes):
        lines = [f"{row},t{row},{10 * row}" for row in range(rows)]
        (tmp_path / "my.csv").write_text("\n".join(["a,time,b", *lines]))
        return series(**KEYS | {"path": str(tmp_path / "my.csv")} | changes)

    return read


def test_each_window_is_followed_by_its_targets(load):
    dataset = load()
    assert dataset.inputs.shape == (6, 3, 2)
    assert dataset.inputs[1].tolist() == [[1, 10], [2, 20], [3, 30]]
    assert dataset.targets[1].tolist() == [4, 40, 5, 50]
    assert dataset.targets[-1].tolist() == [8, 80, 9, 90]
    assert dataset.target_names == ("a+1", "b+1", "a+2", "b+2")


def test_splits_follow_each_other_and_no_target_is_shared(load):
    dataset = load(rows=104)
    splits = split_rows(dataset, Split(0.2, 0.1, 0))
    assert [len(splits[name]) for name in ("train", "val", "test")] == [69, 19, 10]
    assert splits["train"].max() < splits["val"].min()
    assert splits["val"].max() < splits["test"].min()
    seen = [set(dataset.targets[splits[name]][:, ::2].flatten().tolist()) for name in ("train", "val", "test")]
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]


def test_without_a_test_split_validation_goes_to_the_end(load):
    splits = split_rows(load(rows=24, horizon=1), Split(0.25, 0.0, 0))
    assert splits["val"].tolist() == list(range(16, 21))
    assert splits["train"].tolist() == list(range(16))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"columns": []}, ConfigError, r"dataset\.columns=\[\]: list the columns"),
        ({"columns": ["a", "a"]}, ConfigError, r"dataset\.columns=\[a,a\]"),
        ({"columns": ["c"]}, DataError, "line 1: column c is missing"),
        ({"columns": ["time"]}, DataError, "line 2, column time: 't0' is not a number"),
        ({"window": 9}, DataError, "has 10 rows, but a window of 9 and a horizon of 2 need 11"),
    ],
)
def test_mistakes_are_named(load, changes, error, message):
    with pytest.raises(error, match=message):
        load(**changes)


def test_as_many_rows_as_needed_are_one_window(load):
    assert torch.equal(load(rows=5).inputs[0, :, 0], torch.arange(3.0))


def test_a_missing_value_counts_once_and_is_named_by_its_own_line_and_column(load, tmp_path):
    load()
    gaps = (tmp_path / "my.csv").read_text().replace("4,t4,40", "4,t4,")
    (tmp_path / "my.csv").write_text(gaps)
    dataset = series(**KEYS | {"path": str(tmp_path / "my.csv")})
    with pytest.raises(DataError, match=r"^1 value of the inputs .* row 2 \(my.csv, line 6\), column b;"):
        none().select(dataset)
    (tmp_path / "my.csv").write_text(gaps.replace("t4,\n", "t4,40\n").replace("9,t9", ",t9"))
    with pytest.raises(DataError, match=r"^1 value of the targets .* row 5 \(my.csv, line 11\), column a;"):
        none().select(series(**KEYS | {"path": str(tmp_path / "my.csv")}))
    _, report = drop(outliers="keep", outlier_rule="zscore", outlier_limit=None, duplicates="keep").select(dataset)
    assert report == ["dropped 5 rows with missing values (b 3, target 2)"]


@pytest.mark.soak
@pytest.mark.parametrize("case", range(cases(40)))
def test_windows_are_in_order_of_time_and_never_reach_across_two_series(tmp_path, case):
    chance = seed(f"series {case}")
    window, horizon = chance.randint(1, 4), chance.randint(1, 3)
    truth = {
        name: [chance.randrange(1000) for _ in range(chance.randint(window + horizon, 15))]
        for name in "abc"[: chance.randint(1, 3)]
    }
    starts = {name: chance.randrange(10) for name in truth}
    rows = [(name, starts[name] + step, value) for name, values in truth.items() for step, value in enumerate(values)]
    chance.shuffle(rows)
    lines = [f"{name};2024-01-{day + 1:02d};{value}" for name, day, value in rows]
    (tmp_path / "my.csv").write_text("\n".join(["who;when;value", *lines]))
    changes = {"columns": ["value"], "time": "when", "entity": "who", "window": window, "horizon": horizon}
    dataset = series(**KEYS | {"path": str(tmp_path / "my.csv")} | changes)
    found = torch.cat([dataset.inputs[:, :, 0], dataset.targets], 1).tolist()
    expected = [
        (starts[name] + start + window, values[start : start + window + horizon])
        for name, values in truth.items()
        for start in range(len(values) - window - horizon + 1)
    ]
    assert sorted(found) == sorted(values for _, values in expected)
    first = {tuple(values): day for day, values in expected}
    days = [first[tuple(values)] for values in found]
    if len(first) == len(expected):  # no two windows are equal
        assert days == sorted(days)
        for boundary in range(dataset.gap_rows + 1, len(days)):
            before = boundary - dataset.gap_rows
            assert max(days[:before]) + horizon - 1 < days[boundary], "a target before the gap is in the next split"


def one_series(tmp_path, days, **changes):
    (tmp_path / "my.csv").write_text("\n".join(["day,a", *(f"{day},{row}" for row, day in enumerate(days))]))
    return series(**KEYS | {"path": str(tmp_path / "my.csv"), "columns": ["a"], "window": 2, "horizon": 1} | changes)


def test_rows_that_are_newest_first_are_read_from_the_oldest(tmp_path):
    found = one_series(tmp_path, [f"2024-01-{day:02d}" for day in range(20, 10, -1)])
    assert found.inputs[0, :, 0].tolist() == [9, 8]
    assert found.targets[-1].tolist() == [0]
    assert "newest first, as column day shows" in found.notes[0]
    assert one_series(tmp_path, [f"2024-01-{day:02d}" for day in range(10, 20)]).notes == ()


def test_a_window_has_the_time_of_its_first_target(tmp_path):
    days = [f"2024-01-{day:02d}" for day in range(10, 20)]
    for wanted in ({}, {"time": "day"}):  # a column of dates is found, too
        found = one_series(tmp_path, days, horizon=2, **wanted)
        assert [written(value) for value in found.times.values.tolist()] == days[2:-1]
        assert (found.times.column, found.times.dated) == ("day", True)
        assert found.take(torch.tensor([1, 3])).times.values.tolist() == found.times.values[[1, 3]].tolist()
    numbered = one_series(tmp_path, [3, 1, 2, 5], time="day").times
    assert (numbered.values.tolist(), numbered.dated) == ([3.0, 5.0], False)
    assert one_series(tmp_path, [1, 2, 3]).times is None
    assert one_series(tmp_path, ["x", "x", "x", "y", "y", "y"], entity="day").times is None


def test_times_that_repeat_go_back_or_are_missing_are_noted(tmp_path):
    days = [f"2024-01-{day:02d}" for day in (1, 2, 3, 3, 4, 9, 10, 11, 12)]
    repeats, gap = one_series(tmp_path, days).notes
    assert "1 row repeats a time of the same series, the first in line 5" in repeats
    assert "1 gap longer than the usual step of 1, the first before line 7" in gap
    days = ["2024-01-05", "2024-01-06", "2024-01-01", "2024-01-02", "2024-01-03"]
    assert "goes back 1 time: dataset.time=day" in one_series(tmp_path, days).notes[0]
    assert one_series(tmp_path, days, time="day").inputs[0, :, 0].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("days", "changes", "message"),
    [
        (["x"] * 9, {"time": "day"}, "line 2, column day: 'x' is neither a date nor a number"),
        (["2024-01-01", "", *["2024-01-03"] * 9], {"time": "day"}, "line 3, column day: has no time"),
        (["a", "", *["b"] * 9], {"entity": "day"}, "line 3, column day: is missing: to which series"),
        (["1/2/2024", "3/4/2024", "1/1/2024"], {"time": "day"}, "set dataset.dates=day_first"),
    ],
)
def test_a_row_without_a_place_in_time_is_named(tmp_path, days, changes, message):
    with pytest.raises(DataError) as caught:
        one_series(tmp_path, days, **changes)
    assert message in str(caught.value)


def test_a_series_that_is_too_short_is_left_out_and_noted(tmp_path):
    found = one_series(tmp_path, [*"aaaaa", "b"], entity="day")
    assert len(found.inputs) == 3
    assert "1 of 2 series is too short and left out, the first is 'b'" in found.notes[0]
    np.testing.assert_array_equal(found.lines[0], [2, 3, 4])
