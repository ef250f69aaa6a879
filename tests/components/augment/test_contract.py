"""What every augmentation keeps: shape, type, the batch it was given, and its randomness in the generator's hands."""

import inspect
from itertools import permutations
from pathlib import Path

import pytest
import torch
import yaml

from trainctl.components.augment.base import Mixing, Visit, common_range, stored
from trainctl.data import statistics
from trainctl.data.rows import ResidentRows
from trainctl.errors import ConfigError
from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "augment"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
SHAPE = (3, 12, 10)
SHAPES = {"grey images": (1, 9, 12), "colour images": SHAPE, "table": (13,), "sequences": (5, 4)}


def make(name, input_shape=SHAPE, dtype=torch.uint8, task="classification", **changes):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | changes
    broad = [1, input_shape[0], 1, 1] if len(input_shape) == 3 else [1] * len(input_shape) + [input_shape[-1]]
    broad = broad if len(input_shape) != 1 else [1, *input_shape]
    return factory.build(
        "augment",
        keys,
        input_shape=input_shape,
        dtype=dtype,
        deviation=lambda: torch.full(broad, 40.0),
        draws=lambda: torch.linspace(0, 0.99, 16),
        task=task,
    )


def accepts(name, shape):
    try:
        make(name, shape)
    except ConfigError:
        return False
    return True


def images(dtype, rows=16, shape=SHAPE):
    return torch.randint(1, 256, (rows, *shape), generator=torch.Generator().manual_seed(0)).to(dtype)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def values(returned):
    """Return the batch that an augmentation returned, with or without a mixing."""
    return returned[0] if isinstance(returned, tuple) else returned


CASES = [
    pytest.param(name, shape, id=f"{name}, {kind}")
    for name in MEMBERS
    for kind, shape in SHAPES.items()
    if accepts(name, shape)
]
MIXERS = [name for name in MEMBERS if isinstance(make(name)(images(torch.uint8), seeded(0)), tuple)]
IMAGES_ONLY = [name for name in MEMBERS if not accepts(name, SHAPES["table"])]


def test_there_are_members_of_every_kind():
    assert len(MEMBERS) >= 10
    assert set(MIXERS) >= {"mixup", "cutmix"}
    assert {*MEMBERS} - {*IMAGES_ONLY} >= {"none", "noise", "mixup"}


@pytest.mark.parametrize(("name", "shape"), CASES)
@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_shape_and_type_stay(name, shape, dtype, rows):
    out = values(make(name, shape, dtype)(images(dtype, rows, shape), seeded(0)))
    assert out.shape == (rows, *shape)
    assert out.dtype == dtype
    assert torch.isfinite(out).all()


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
    again = augment(batch, seeded(0))
    assert torch.equal(values(again), values(first))
    if name in MIXERS:
        assert torch.equal(again[1].weight, first[1].weight)
        assert torch.equal(again[1].partner, first[1].partner)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "none"])
def test_another_seed_gives_another_batch(name):
    outs = [values(make(name)(images(torch.uint8), seeded(seed))) for seed in range(3)]
    assert not all(torch.equal(out, outs[0]) for out in outs)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in ("none", *MIXERS)])
def test_rows_differ_among_themselves(name):
    same = images(torch.uint8)[:1].expand(16, *SHAPE)
    assert len(make(name)(same, seeded(0)).unique(dim=0)) > 1


@pytest.mark.parametrize("name", MIXERS)
def test_a_mixing_names_a_share_and_a_partner_for_each_row(name):
    for seed in range(20):
        _, mixing = make(name)(images(torch.uint8), seeded(seed))
        assert mixing.weight.shape == ()
        assert 0 <= mixing.weight <= 1
        assert torch.equal(mixing.partner.sort().values, torch.arange(16))


@pytest.mark.parametrize("name", MIXERS)
def test_a_reconstruction_has_no_targets_to_mix(name):
    with pytest.raises(ConfigError, match=f"augment={name} mixes targets, which a reconstruction does not have"):
        make(name, task="reconstruction")


@pytest.mark.parametrize("name", IMAGES_ONLY)
@pytest.mark.parametrize("shape", [(13,), (5, 4)], ids=["table", "sequences"])
def test_rows_that_are_no_images_are_a_wrong_configuration(name, shape):
    with pytest.raises(ConfigError, match=f"augment={name} needs images"):
        make(name, shape)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in ("none", *IMAGES_ONLY)])
def test_codes_of_words_are_a_wrong_configuration(name):
    with pytest.raises(ConfigError, match=f"augment={name} needs pixels or real numbers"):
        make(name, (13,), torch.int64)


@pytest.mark.parametrize(("first", "second"), list(permutations(MEMBERS, 2)))
def test_any_two_compose(first, second):
    generator, batch = seeded(0), images(torch.uint8)
    for name in (first, second):
        batch = values(make(name)(batch, generator))
    assert batch.shape == (16, *SHAPE)
    assert batch.dtype == torch.uint8


def test_mixing_twice_mixes_the_targets_of_rows_that_were_mixed():
    targets = torch.tensor([10.0, 20.0, 30.0])
    mixed, parts = targets, [(torch.tensor(1.0), targets)]
    for share, partner in ((0.7, [1, 2, 0]), (0.4, [2, 0, 1])):
        mixing = Mixing(torch.tensor(share), torch.tensor(partner))
        mixed = share * mixed + (1 - share) * mixed[mixing.partner]
        parts = mixing.parts(parts)
    assert len(parts) == 4
    assert sum(share for share, _ in parts) == pytest.approx(1)
    torch.testing.assert_close(sum(share * part for share, part in parts), mixed)


RANGES = [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-2.1, 2.6), (100.0, 200.0), (-7.0, -3.0)]


@pytest.mark.parametrize("name", [name for name in MEMBERS if accepts(name, SHAPE)])
@pytest.mark.parametrize("given", [True, False], ids=["range given", "range of the batch"])
@pytest.mark.parametrize("pixels", [*RANGES, "bytes"], ids=str)
def test_images_stay_in_the_range_of_their_pixels(name, pixels, given):
    dtype = torch.uint8 if pixels == "bytes" else torch.float32
    low, high = (0.0, 255.0) if pixels == "bytes" else pixels
    limits = {"pixel_limits": lambda: (low, high)} if given else {}
    lowest, highest = (low, high) if given else common_range(low, high)
    for case in range(5):
        batch = torch.rand(16, *SHAPE, generator=seeded(case)) * (high - low) + low
        batch[0].fill_(low), batch[1].fill_(high)
        batch = stored(batch, dtype, (low, high))
        keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
        augment = factory.build(
            "augment", keys, input_shape=SHAPE, dtype=dtype, task="classification", draws=lambda: torch.rand(16),
            deviation=lambda: torch.full((1, 3, 1, 1), high - low), **limits,
        )  # fmt: skip
        visit = {"visit": Visit(0, torch.arange(16))} if "visit" in inspect.signature(augment).parameters else {}
        out = values(augment(batch, seeded(case), **visit))
        assert lowest <= float(out.min())
        assert float(out.max()) <= highest


@pytest.mark.parametrize("name", ["erase", "color", "noise"])
def test_a_float_image_is_changed_like_the_same_image_in_bytes(name):
    bytes_ = images(torch.uint8)
    settings = {"input_shape": SHAPE, "task": "classification", "draws": None}
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    whole, fraction = (
        factory.build("augment", keys, **settings, dtype=dtype, deviation=lambda width=width: torch.full((1, 3, 1, 1), width),
                      pixel_limits=lambda high=high: (0.0, high))
        for dtype, width, high in ((torch.uint8, 40.0, 255.0), (torch.float32, 40 / 255, 1.0))
    )  # fmt: skip
    expected = values(whole(bytes_, seeded(0))).float()
    found = values(fraction(bytes_.float() / 255, seeded(0))) * 255
    assert (found - expected).abs().max() <= 0.51


@pytest.mark.parametrize(
    ("pixels", "limits"),
    [([0.2, 0.9], (0.0, 1.0)), ([-0.1, 0.9], (-1.0, 1.0)), ([0.0, 4.0], (0.0, 255.0)), ([-2.0, 3.0], (-2.0, 3.0))],
)
def test_the_range_is_that_of_the_training_split(pixels, limits):
    rows = ResidentRows(torch.tensor(pixels)[:, None, None, None], torch.zeros(2))
    assert statistics.pixel_limits(rows) == limits
    assert statistics.pixel_limits(ResidentRows(torch.zeros(2, 1, 1, 1, dtype=torch.uint8), torch.zeros(2))) == (0, 255)
