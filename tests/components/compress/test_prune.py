"""Gradual magnitude pruning: the sparsity of each step is that of Zhu and Gupta's equation 1."""

import pytest
import torch
from torch import nn

from trainctl.components.compress.base import Moment, Training
from trainctl.components.compress.prune import cubic, prune
from trainctl.errors import CheckpointError, ConfigError

SETTINGS = {"sparsity": 0.8, "scope": "global", "begin": 0.1, "end": 0.6, "every_steps": 5, "by_run": None}


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10))


def zeros(net: nn.Module) -> list[int]:
    return [int((layer.weight == 0).sum()) for layer in (net[0], net[2])]


def walk(net: nn.Module, steps: int = 100, training: Training | None = None, **changes: object) -> list[int]:
    """Return the number of zeros after each step; between them, every weight is moved as an optimizer might."""
    constraint = prune(**SETTINGS | changes).constrain(net, training or Training(steps, 0))
    generator, counts = torch.Generator().manual_seed(1), []
    for step in range(steps):
        moment = Moment(step, step)
        constraint.before(moment)
        with torch.no_grad():
            for weight in net.parameters():
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.01)
        constraint.after(moment)
        counts.append(sum(zeros(net)))
    return counts


def test_the_sparsity_follows_the_cubic_in_steps_of_dt():
    counts = walk(model())
    for step in range(100):
        last_update = 0 if step < 10 else min(step // 5 * 5, 60)
        wanted = 0.0 if step < 10 else 0.8 * (1 - (1 - (last_update - 10) / 50) ** 3)
        assert counts[step] == round(wanted * 900), step


def test_the_end_is_met_exactly_even_between_two_updates():
    counts = walk(model(), begin=0.13, end=0.57)
    assert counts[12] == 0
    assert counts[57] == counts[-1] == 720


def test_pruning_once_keeps_the_largest_magnitudes():
    net = model()
    before = [layer.weight.detach().clone() for layer in (net[0], net[2])]
    prune(**SETTINGS | {"begin": 0.0, "end": 0.0}).constrain(net, Training(10, 0)).before(Moment(0, 0))
    limit = torch.cat([weight.flatten() for weight in before]).abs().sort().values[720]
    for layer, weight in zip((net[0], net[2]), before, strict=True):
        assert torch.equal(layer.weight, torch.where(weight.abs() >= limit, weight, 0.0))


def test_each_layer_gets_the_sparsity_with_scope_layer():
    net = model()
    walk(net, scope="layer")
    assert zeros(net) == [480, 240]


def test_what_is_0_once_is_0_for_ever():
    net, seen = model(), torch.zeros(30, 20, dtype=torch.bool)
    constraint = prune(**SETTINGS).constrain(net, Training(100, 0))
    for step in range(100):
        constraint.before(Moment(step, step))
        with torch.no_grad():
            net[0].weight.copy_(torch.randn(30, 20))
        constraint.after(Moment(step, step))
        assert not net[0].weight[seen].any()
        seen |= net[0].weight == 0
    assert seen.any()


def test_weights_that_happen_to_be_0_count_only_once_they_are_pruned():
    net = model()
    constraint = prune(**SETTINGS).constrain(net, Training(100, 0))
    constraint.before(Moment(15, 15))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.weight.mul_(torch.rand(layer.weight.shape) < 0.1)
    constraint.before(Moment(20, 20))
    off = sum(int((mask == 0).sum()) for mask in constraint.state.values())
    assert off == round(0.8 * (1 - 0.8**3) * 900)


def test_it_is_complete_once_the_sparsity_is_reached():
    net = model()
    constraint = prune(**SETTINGS).constrain(net, Training(100, 0))
    assert not constraint.complete(0)
    constraint.before(Moment(60, 60))
    assert constraint.complete(60)
    assert not constraint.complete(59)  # as in a run that went back


def test_a_clock_that_skips_positions_still_leads_to_the_sparsity():
    net = model()
    constraint = prune(**SETTINGS).constrain(net, Training(100, 0))
    for step, position in enumerate((0, 11, 23, 37, 49, 63, 77, 91, 95, 96, 97)):
        constraint.before(Moment(step, position))
    assert sum(zeros(net)) == 720


def test_another_run_decides_what_is_pruned():
    net, other = model(), model(1)
    first = net[0].weight.detach().clone()
    settings = SETTINGS | {"by_run": "run", "begin": 0.0, "end": 0.0}
    prune(**settings).constrain(net, Training(10, 0, ranking=other.state_dict())).before(Moment(0, 0))
    prune(**settings | {"by_run": None}).constrain(other, Training(10, 0)).before(Moment(0, 0))
    mask = other[0].weight != 0
    assert torch.equal(net[0].weight, first * mask)


def test_frozen_layers_are_pruned_once_they_are_thawed():
    net = model()
    constraint = prune(**SETTINGS | {"begin": 0.0, "end": 0.0}).constrain(net, Training(100, 0))
    net[0].weight.requires_grad_(False)
    constraint.before(Moment(0, 0))
    assert zeros(net) == [0, 240]
    net[0].weight.requires_grad_(True)
    constraint.before(Moment(5, 5))
    assert sum(zeros(net)) == 720


def test_a_model_with_other_shapes_cannot_decide():
    other = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 9))
    settings = SETTINGS | {"by_run": "run", "begin": 0.0, "end": 0.0}
    with pytest.raises(CheckpointError, match=r"2\.weight has shape \(10, 30\) here, and shape \(9, 30\) there"):
        prune(**settings).constrain(model(), Training(10, 0, ranking=other.state_dict()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"begin": 0.7}, r"compress\.prune\.end=0\.6 is before compress\.prune\.begin=0\.7"),
        ({"by_run": "x"}, "prunes once"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        prune(**SETTINGS | changes)


def test_the_cubic_is_that_of_the_paper():
    assert cubic(0, 0, 10, 1.0) == 0
    assert cubic(5, 0, 10, 1.0) == pytest.approx(1 - 0.5**3)
    assert cubic(10, 0, 10, 0.5) == 0.5
