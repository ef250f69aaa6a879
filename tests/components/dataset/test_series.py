"""A series in time of the user's own."""

import pytest
import torch
import yaml

from tests.conftest import ROOT
from trainctl.components.clean.drop import drop
from trainctl.components.clean.none import none
from trainctl.components.dataset.series import series
from trainctl.data.split import split_rows
from trainctl.errors import ConfigError, DataError
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
    assert dataset.inputs.is_contiguous()


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
    with pytest.raises(DataError, match=r"^1 values of the inputs .* row 2 \(my.csv, line 6\), column b;"):
        none().select(dataset)
    (tmp_path / "my.csv").write_text(gaps.replace("t4,\n", "t4,40\n").replace("9,t9", ",t9"))
    with pytest.raises(DataError, match=r"^1 values of the targets .* row 5 \(my.csv, line 11\), column a;"):
        none().select(series(**KEYS | {"path": str(tmp_path / "my.csv")}))
    _, report = drop(outliers="keep", outlier_rule="zscore", outlier_limit=None, duplicates="keep").select(dataset)
    assert report == ["dropped 5 rows with missing values (b 3, target 2)"]
