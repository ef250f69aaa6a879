"""What every cleaning keeps to: whole rows stay as they are, and only training rows teach it."""

import math
from pathlib import Path

import pytest
import torch
import yaml

from trainctl.components.clean.base import Clean
from trainctl.components.dataset.base import Dataset
from trainctl.errors import DataError
from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "clean"
KEYS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(CONF.glob("*.yaml"))}
GENERATOR = torch.Generator().manual_seed(0)


def make(name, **changes):
    return factory.build("clean", KEYS[name] | changes)


def table(rows=40):
    return Dataset(torch.randn(rows, 3, generator=GENERATOR), torch.randn(rows, 1, generator=GENERATOR), "regression")


def test_there_are_members():
    assert set(KEYS) >= {"none", "drop", "impute"}


@pytest.mark.parametrize("name", KEYS)
def test_a_whole_table_stays_as_it_is(name):
    clean, whole = make(name), table()
    kept, report = clean.select(whole)
    cleaner, train = clean.fit(kept, torch.arange(30))
    assert isinstance(clean, Clean)
    assert torch.equal(cleaner(kept.inputs), whole.inputs)
    assert train.tolist() == list(range(30))
    assert report + clean.changes(kept, cleaner, 0) == []


@pytest.mark.parametrize("name", KEYS)
def test_bytes_and_tokens_stay_as_they_are(name):
    for inputs in (torch.zeros(9, 1, 2, 2, dtype=torch.uint8), torch.ones(9, 4, dtype=torch.int64)):
        images = Dataset(inputs, torch.arange(9), "classification", tuple("abcdefghi"))
        clean = make(name, **{"outliers": "clip", "duplicates": "drop"} if name != "none" else {})
        kept, report = clean.select(images)
        cleaner, train = clean.fit(kept, torch.arange(5))
        assert report == []
        assert torch.equal(cleaner(kept.inputs), inputs)
        assert len(train) == 5


@pytest.mark.parametrize("name", KEYS)
def test_infinite_values_are_an_error_everywhere(name):
    dataset = table()
    dataset.inputs[3, 1] = math.inf
    with pytest.raises(DataError, match="infinite, the first in row 3, column 1"):
        make(name).select(dataset)


@pytest.mark.parametrize("name", [name for name in KEYS if name != "none"])
@pytest.mark.parametrize("outliers", ["keep", "clip"])
def test_other_rows_than_those_for_training_teach_nothing(name, outliers):
    dataset, train = table(), torch.arange(20)
    dataset.inputs[0, 0] = math.nan
    kept, _ = make(name, outliers=outliers).select(dataset)
    before, _ = make(name, outliers=outliers).fit(kept, train)
    kept.inputs[20:] = 1e6
    after, _ = make(name, outliers=outliers).fit(kept, train)
    for key, value in vars(before).items():
        assert value is None or torch.equal(value, getattr(after, key))


@pytest.mark.parametrize("name", [name for name in KEYS if name != "none"])
def test_rows_without_a_target_are_dropped_and_own_test_rows_stay_at_the_end(name):
    dataset = Dataset(
        torch.randn(6, 1), torch.tensor([0, 1, -1, 0, -1, 1]), "classification", ("a", "b"), test_rows=2, val_rows=1
    )
    kept, report = make(name).select(dataset)
    assert kept.targets.tolist() == [0, 1, 0, 1]
    assert (kept.test_rows, kept.val_rows) == (1, 1)
    assert report == ["dropped 2 rows with missing values (target 2)"]


@pytest.mark.parametrize("name", [name for name in KEYS if name != "none"])
def test_only_the_first_of_equal_rows_stays(name):
    dataset = Dataset(
        torch.tensor([[1.0], [2.0], [1.0], [1.0]]), torch.tensor([0, 1, 0, 1]), "classification", ("a", "b")
    )
    kept, report = make(name, duplicates="drop").select(dataset)
    assert kept.inputs.flatten().tolist() == [1, 2, 1]
    assert kept.targets.tolist() == [0, 1, 1]
    assert report == ["dropped 1 duplicate row"]
