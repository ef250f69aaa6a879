"""What every augmentation keeps: shape, type, the batch it was given, and its randomness in the generator's hands."""

from pathlib import Path

import pytest
import torch
import yaml

from trainctl import component
from trainctl.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf" / "augment"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
SHAPE = (3, 8, 7)


def make(name, input_shape=SHAPE):
    return component.build("augment", yaml.safe_load((CONF / f"{name}.yaml").read_text()), input_shape=input_shape)


def images(dtype, rows=16):
    return torch.randint(1, 256, (rows, *SHAPE), generator=torch.Generator().manual_seed(0)).to(dtype)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_there_are_members():
    assert len(MEMBERS) >= 3


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_shape_and_type_stay(name, dtype, rows):
    out = make(name)(images(dtype, rows), seeded(0))
    assert out.shape == (rows, *SHAPE)
    assert out.dtype == dtype


@pytest.mark.parametrize("name", MEMBERS)
def test_the_batch_it_was_given_stays_as_it_was(name):
    batch = images(torch.uint8)
    make(name)(batch, seeded(0))
    assert torch.equal(batch, images(torch.uint8))


@pytest.mark.parametrize("name", MEMBERS)
def test_it_draws_from_its_generator_alone(name):
    augment, batch = make(name), images(torch.uint8)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = augment(batch, seeded(0))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(augment(batch, seeded(0)), first)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "none"])
def test_another_seed_gives_another_batch_and_rows_differ_among_themselves(name):
    augment = make(name)
    same = images(torch.uint8)[:1].expand(16, *SHAPE)
    outs = [augment(same, seeded(seed)) for seed in range(3)]
    assert not all(torch.equal(out, outs[0]) for out in outs)
    assert len(outs[0].unique(dim=0)) > 1


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "none"])
@pytest.mark.parametrize("shape", [(13,), (5, 4)], ids=["table", "sequences"])
def test_rows_that_are_no_images_are_a_wrong_configuration(name, shape):
    with pytest.raises(ConfigError, match=f"augment={name} needs images"):
        make(name, shape)
