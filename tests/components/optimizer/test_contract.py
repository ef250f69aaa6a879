"""What every optimizer does: it goes downhill, spares what it is told to spare, and can be saved."""

import copy
from pathlib import Path

import pytest
import torch
import yaml

from tests.soak import cases, seed
from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "optimizer"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
# Rates mean different things: Adadelta's is a factor on its own (1 is the paper's), Adagrad's steps shrink.
FASTER = {"adadelta": 100, "adagrad": 10, "asgd": 2}


def keys_of(name):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return {key: value for key, value in keys.items() if key != "defaults"}


def make(name, params, **changes):
    keys = keys_of(name)
    if "lambd" in keys:
        changes = {"lambd": 0.0} | changes  # asgd's own decay, which spares nothing
    if "lr" in changes and "adamw_lr" in keys:
        changes["adamw_lr"] = changes["lr"]  # muon's second rate
    return factory.build("optimizer", keys | changes, params=params)


def quadratic(w):
    return (torch.tensor([1.0, 10.0]) * w.square()).sum() / 2


def rosenbrock(w):
    return (1 - w[0]).square() + 100 * (w[1] - w[0].square()).square()


def walk(optimizer, function, parameter, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        function(parameter).backward()
        optimizer.step()
    return function(parameter).item()


def test_there_are_members():
    assert len(MEMBERS) >= 12


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(
    ("function", "start", "lr", "steps", "share"),
    [
        (quadratic, [1.0, -1.0], 0.01, 200, 0.5),
        (rosenbrock, [-1.2, 1.0], 1e-4, 500, 0.98),  # a narrow bent valley: the rate has to be small
    ],
)
def test_it_goes_downhill(name, function, start, lr, steps, share):
    w = torch.nn.Parameter(torch.tensor(start))
    before = function(w).item()
    optimizer = make(name, [{"params": [w]}], lr=lr * FASTER.get(name, 1))
    assert walk(optimizer, function, w, steps) < share * before


@pytest.mark.parametrize("name", MEMBERS)
def test_a_whole_number_does_where_a_fraction_may_stand(name):
    w = torch.nn.Parameter(torch.ones(3))
    wholes = {key: 0 for key in ("beta1", "beta2", "momentum", "rho", "alpha", "weight_decay") if key in keys_of(name)}
    optimizer = make(name, [{"params": [w]}], **wholes | {"lr": 1})
    w.grad = torch.ones(3)
    optimizer.step()
    assert (w < 1).all()


@pytest.mark.parametrize("name", MEMBERS)
def test_it_takes_matrices_and_filters_too(name):
    generator = torch.Generator().manual_seed(0)
    matrix, filters = (
        torch.nn.Parameter(torch.randn(*shape, generator=generator) * 0.3) for shape in ((3, 5), (4, 2, 3, 3))
    )
    optimizer = make(name, [{"params": [matrix, filters]}], lr=0.01 * FASTER.get(name, 1))

    def bowl(_):
        return (matrix.square().sum() + filters.square().sum()) / 2

    before = bowl(None).item()
    assert walk(optimizer, bowl, None, 100) < 0.8 * before


@pytest.mark.parametrize("name", MEMBERS)
def test_weight_decay_spares_the_group_that_is_given_without(name):
    weight, bias = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = make(name, [{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}], weight_decay=0.1)
    for _ in range(3):
        weight.grad, bias.grad = torch.zeros(3), torch.zeros(3)
        optimizer.step()
    assert (weight < 1).all()
    assert torch.equal(bias, torch.ones(3))


@pytest.mark.parametrize("name", MEMBERS)
def test_without_gradient_nothing_moves(name):
    w, untouched = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = make(name, [{"params": [w, untouched]}], weight_decay=0.0)
    w.grad = torch.zeros(3)
    optimizer.step()
    assert torch.equal(w, torch.ones(3))
    assert torch.equal(untouched, torch.ones(3))


@pytest.mark.parametrize("name", MEMBERS)
def test_the_rate_of_every_group_can_be_set_from_outside(name):
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = make(name, [{"params": [w]}])
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    w.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(w, torch.ones(3))


@pytest.mark.parametrize("name", MEMBERS)
def test_saved_and_loaded_it_goes_on_as_if_nothing_had_been(name):
    whole = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    first = make(name, [{"params": [whole]}])
    walk(first, quadratic, whole, 5)
    other = torch.nn.Parameter(whole.detach().clone())
    second = make(name, [{"params": [other]}])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    walk(first, quadratic, whole, 5)
    walk(second, quadratic, other, 5)
    assert torch.equal(whole, other)


VARIANTS = [
    *((name, {}) for name in MEMBERS),
    ("sgd", {"momentum": 0.0}),
    ("sgd", {"momentum": 0.9, "dampening": 0.5}),
    ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("adam", {"amsgrad": True}),
]


@pytest.mark.soak
@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
@pytest.mark.parametrize("case", range(cases(2)))
def test_gradients_may_come_late_and_pause_as_where_layers_are_thawed_and_frozen(name, changes, case):
    random = seed(f"late {name} {changes} {case}")
    shapes = [(3,), (2, 3), (4,), (3, 2)]
    start = [torch.randn(shape, generator=torch.Generator().manual_seed(random.randrange(2**32))) for shape in shapes]
    groups = [[0, 1], [2, 3]]
    # Together, and each parameter with an optimizer of its own, none of which is fused.
    together = [torch.nn.Parameter(value.clone()) for value in start]
    optimizer = make(name, [{"params": [together[index] for index in group]} for group in groups], lr=0.01, **changes)
    alone = [torch.nn.Parameter(value.clone()) for value in start]
    own = [make(name, [{"params": [parameter]}], lr=0.01, **changes) for parameter in alone]
    for one in own:
        for group in one.param_groups:
            group["fused"] = False if "fused" in group else None
    first = [random.randrange(8) for _ in shapes]
    first[random.randrange(4)] = 0
    for step in range(12):
        here = [step >= first[index] and random.random() < 0.8 for index in range(4)]
        for index, given in enumerate(here):
            draws = torch.Generator().manual_seed(random.randrange(2**32))
            gradient = torch.randn(shapes[index], generator=draws) if given else None
            together[index].grad = gradient
            alone[index].grad = None if gradient is None else gradient.clone()
            if given:
                own[index].step()
        optimizer.step()
        assert [parameter.grad is not None for parameter in together] == here
        for index, (parameter, expected) in enumerate(zip(together, alone, strict=True)):
            torch.testing.assert_close(parameter, expected, rtol=1e-5, atol=1e-6, msg=f"parameter {index}, step {step}")
