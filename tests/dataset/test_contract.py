"""What every data set is: finite tensors of the promised types that fit together, or a message that names the place."""

from pathlib import Path

import pytest
import torch
import yaml

from trainctl import component
from trainctl.errors import DataError

CONF = Path(__file__).parents[2] / "conf" / "dataset"
KEYS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(CONF.glob("*.yaml"))}
CARRIED = [name for name, keys in KEYS.items() if "root" not in keys]
ELSEWHERE = [name for name, keys in KEYS.items() if "root" in keys]


def make(name, **changes):
    keys = {key: value for key, value in KEYS[name].items() if key != "defaults"}
    return component.build("dataset", keys | changes)


def test_there_are_members():
    assert len(CARRIED) >= 5
    assert len(ELSEWHERE) >= 2


@pytest.mark.parametrize("name", CARRIED)
def test_inputs_and_targets_have_the_promised_types_and_fit_together(name):
    dataset = make(name)
    assert len(dataset.inputs) == len(dataset.targets) > 100
    assert (dataset.inputs.dtype, dataset.inputs.ndim) in {(torch.uint8, 4), (torch.float32, 2), (torch.float32, 3)}
    assert torch.isfinite(dataset.inputs.float()).all()
    assert dataset.inputs.is_contiguous()
    if dataset.task == "classification":
        assert dataset.targets.dtype == torch.int64
        assert dataset.targets.unique().tolist() == list(range(dataset.outputs))
        assert len(dataset.class_names) == dataset.outputs
    else:
        assert dataset.targets.dtype == torch.float32
        assert dataset.targets.shape == (len(dataset.inputs), len(dataset.target_names))
        assert torch.isfinite(dataset.targets).all()


@pytest.mark.parametrize("name", CARRIED)
def test_every_column_and_class_has_a_name_of_its_own(name):
    dataset = make(name)
    for names in (dataset.class_names, dataset.input_names, dataset.target_names):
        assert len(set(names)) == len(names)
        assert all(isinstance(word, str) and word for word in names)
    assert len(dataset.input_names) == (dataset.inputs.shape[1] if dataset.inputs.ndim == 2 else 0)


@pytest.mark.parametrize("name", CARRIED)
def test_loaded_twice_it_is_the_same(name):
    first, again = make(name), make(name)
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.targets, again.targets)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_root_that_is_not_there_is_named_and_never_made(name, tmp_path):
    with pytest.raises(DataError, match=r"dataset\.root=.*nowhere: no such directory"):
        make(name, root=str(tmp_path / "nowhere"), download=True)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_missing_files_are_named_where_none_may_be_downloaded(name, tmp_path):
    with pytest.raises(DataError, match=r"missing; allow dataset\.download=true") as caught:
        make(name, root=str(tmp_path), download=False)
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []
