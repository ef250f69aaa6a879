"""Data made on the spot follows its law."""

import pytest
import torch

from trainctl.components.dataset.synthetic import synthetic
from trainctl.errors import ConfigError

KEYS = {"kind": "blobs", "rows": 300, "shape": [2], "classes": 3, "noise": 0.0, "seed": 0}


def make(**changes):
    return synthetic(**KEYS | changes)


@pytest.mark.parametrize("kind", ["blobs", "spirals", "sine"])
@pytest.mark.parametrize(("shape", "dtype"), [([5], torch.float32), ([4, 3], torch.float32), ([3, 8, 6], torch.uint8)])
def test_rows_have_the_shape_that_is_asked_for(kind, shape, dtype):
    dataset = make(kind=kind, shape=shape)
    assert (list(dataset.inputs.shape), dataset.inputs.dtype) == ([300, *shape], dtype)
    assert len(dataset.input_names) == (5 if shape == [5] else 0)


def test_blobs_without_noise_are_their_centres():
    dataset = make(shape=[7])
    assert len(dataset.inputs.unique(dim=0)) == 3
    assert dataset.targets.bincount().tolist() == [100, 100, 100]


def test_spirals_lie_on_their_arms():
    dataset = make(kind="spirals")
    radius = dataset.inputs.norm(dim=1)
    angle = torch.atan2(dataset.inputs[:, 1], dataset.inputs[:, 0])
    turned = angle - 4 * radius - 2 * torch.pi * dataset.targets / 3
    torch.testing.assert_close(turned.cos(), torch.ones(300), atol=1e-4, rtol=0)


def test_sine_is_the_sine_of_the_scaled_sum():
    dataset = make(kind="sine", shape=[4])
    expected = (torch.pi * dataset.inputs.sum(1) / 2).sin()
    torch.testing.assert_close(dataset.targets[:, 0], expected, atol=1e-5, rtol=0)
    assert dataset.task == "regression"


def test_noise_and_seed_change_the_points():
    assert not torch.equal(make(noise=0.1).inputs, make().inputs)
    assert not torch.equal(make(seed=1).inputs, make().inputs)
    assert (make(noise=0.5).inputs - make().inputs).std().item() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(
    "changes", [{"shape": []}, {"shape": [1, 2, 3, 4]}, {"shape": [1], "kind": "spirals"}, {"rows": 4, "classes": 5}]
)
def test_shapes_and_sizes_that_make_no_sense_are_refused(changes):
    with pytest.raises(ConfigError, match=r"dataset\.(shape|rows)="):
        make(**changes)
