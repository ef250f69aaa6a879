"""Moving connections: the equations of Evci et al., algorithm 1."""

import math

import pytest
import torch
from torch import nn

from trainctl.components.compress.base import Moment, Training
from trainctl.components.compress.rigl import erk, moved, rigl, uniform

SETTINGS = {"sparsity": 0.7, "distribution": "uniform", "fraction": 0.4, "end": 0.8, "every_steps": 10}


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10))


def with_gradients(net: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in net.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)


def test_an_update_drops_the_smallest_and_grows_where_the_gradient_is_largest():
    net = model()
    constraint = rigl(**SETTINGS).constrain(net, Training(100, 0))
    weight, mask = net[2].weight, constraint.state["2.weight"]
    assert int(mask.sum()) == 90  # 30 % of 300
    with_gradients(net, 1)
    before, old, gradient = weight.detach().clone(), mask.bool(), weight.grad.clone()
    constraint.between(Moment(20, 20))
    count = int(0.4 / 2 * (1 + math.cos(math.pi * 20 / 80)) * 90)
    smallest = before.abs()[old].sort().values[count]
    dropped = old & (before.abs() < smallest)
    assert int(dropped.sum()) == count
    candidates = gradient.abs().where(~(old & ~dropped), -1.0)
    grown = candidates >= candidates.flatten().sort().values[-count]
    assert torch.equal(mask.bool(), (old & ~dropped) | grown)
    assert not weight[grown & ~old].any()  # new connections start at 0
    assert torch.equal(weight[old & ~dropped], before[old & ~dropped])


def test_the_number_of_connections_of_a_layer_never_changes():
    net = model()
    constraint = rigl(**SETTINGS | {"distribution": "erk"}).constrain(net, Training(100, 0))
    counts, masks = [int(mask.sum()) for mask in constraint.state.values()], []
    for step in range(100):
        with_gradients(net, step)
        constraint.between(Moment(step, step))
        with torch.no_grad():
            for weight in net.parameters():
                weight.sub_(weight.grad * 0.1)
        constraint.after(Moment(step, step))
        assert [int(mask.sum()) for mask in constraint.state.values()] == counts
        assert all(not net[int(name[0])].weight[mask == 0].any() for name, mask in constraint.state.items())
        masks.append([mask.clone() for mask in constraint.state.values()])
    assert sum(counts) == pytest.approx(0.3 * 900, abs=2)
    changed = [step for step in range(1, 100) if not torch.equal(masks[step][1], masks[step - 1][1])]
    assert changed == [10, 20, 30, 40, 50, 60, 70]  # every 10 steps, before 80 % of the run


def test_the_optimizer_sees_no_gradient_of_a_weight_that_is_off():
    net = model()
    constraint = rigl(**SETTINGS).constrain(net, Training(100, 0))
    with_gradients(net, 0)
    constraint.between(Moment(3, 3))
    assert not net[2].weight.grad[constraint.state["2.weight"] == 0].any()


def test_a_step_that_overflows_moves_nothing():
    net = model()
    constraint = rigl(**SETTINGS).constrain(net, Training(100, 0))
    before = constraint.state["2.weight"].clone()
    with_gradients(net, 0)
    net[0].weight.grad[0, 0] = torch.inf
    constraint.between(Moment(20, 20))
    assert torch.equal(constraint.state["2.weight"], before)


def test_the_first_connections_are_a_function_of_the_seed():
    states = [rigl(**SETTINGS).constrain(model(), Training(100, seed)).state["2.weight"] for seed in (3, 3, 4)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_sparse_start_keeps_its_largest_weights():
    net = model()
    with torch.no_grad():
        net[2].weight[net[2].weight.abs() < 0.1] = 0
    before = net[2].weight.detach().clone()
    mask = rigl(**SETTINGS).constrain(net, Training(100, 0)).state["2.weight"].bool()
    assert before.abs()[mask].min() >= before.abs()[~mask].max()


def test_frozen_layers_stay_dense():
    net = model()
    first = net[0].weight.detach().clone()
    constraint = rigl(**SETTINGS | {"distribution": "erk"}).constrain(net, Training(100, 0, frozenset({"0.weight"})))
    assert list(constraint.state) == ["2.weight"]
    assert torch.equal(net[0].weight, first)


def test_uniform_keeps_the_first_layer_dense():
    assert uniform({"a": (3, 3), "b": (3, 3), "c": (2, 2)}, 0.9) == {
        "a": 1.0,
        "b": pytest.approx(0.1),
        "c": pytest.approx(0.1),
    }


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.95, 0.0])
def test_erk_gives_the_whole_its_sparsity_and_densities_in_proportion(sparsity):
    shapes = {"a": (300, 784), "b": (100, 300), "c": (10, 100), "conv": (16, 8, 3, 3)}
    density = erk(shapes, sparsity)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    left = sum(density[name] * sizes[name] for name in shapes)
    assert left == pytest.approx((1 - sparsity) * sum(sizes.values()))
    assert all(0 <= part <= 1 for part in density.values())
    below = [name for name in shapes if density[name] < 1]
    factors = [density[name] * sizes[name] / sum(shapes[name]) for name in below]
    assert not factors or max(factors) == pytest.approx(min(factors))


def test_a_dropped_weight_can_grow_again_and_keeps_its_value():
    weight, mask = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
    assert moved(weight, torch.tensor([9.0, 0.0, 1.0]), mask, 1).tolist() == [True, True, False]
