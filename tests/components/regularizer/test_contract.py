"""What every regularizer does: it adds a number that is not negative and has a gradient, or moves weights, or nothing."""

from pathlib import Path

import pytest
import torch
import yaml

from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "regularizer"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
WEIGHTED = [name for name in MEMBERS if "weight" in yaml.safe_load((CONF / f"{name}.yaml").read_text())]


def make(name, params, **changes):
    return factory.build("regularizer", yaml.safe_load((CONF / f"{name}.yaml").read_text()) | changes, params=params)


def weights():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(size, generator=generator)) for size in ((3, 2), (4, 1, 2, 2))]


def test_there_are_members():
    assert len(MEMBERS) >= 7
    assert len(WEIGHTED) >= 4


@pytest.mark.parametrize("name", MEMBERS)
def test_a_penalty_is_a_scalar_above_zero_and_leaves_the_weights_alone(name):
    params = weights()
    penalty = make(name, params).penalty
    if penalty is not None:
        value = penalty()
        value.backward()
        assert value.shape == ()
        assert value > 0
        assert all(torch.isfinite(w.grad).all() and w.grad.any() for w in params)
    assert all(torch.equal(w, kept) for w, kept in zip(params, weights(), strict=True))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_projection_done_twice_changes_nothing_more(name):
    params = weights()
    if (project := make(name, params).project) is not None:
        project()
        once = [w.detach().clone() for w in params]
        project()
        assert all(torch.allclose(w, kept) for w, kept in zip(params, once, strict=True))


@pytest.mark.parametrize("name", WEIGHTED)
def test_it_is_proportional_to_its_weight(name):
    params = weights()
    one, three, zero = (make(name, params, weight=weight).penalty() for weight in (0.1, 0.3, 0))
    torch.testing.assert_close(three, 3 * one)
    assert zero == 0


@pytest.mark.parametrize("name", sorted(set(WEIGHTED) - {"orthogonal"}))
def test_weights_of_zero_cost_nothing_and_have_no_gradient(name):
    params = [torch.nn.Parameter(torch.zeros(3, 2))]
    value = make(name, params).penalty()
    value.backward()
    assert value == 0
    assert torch.equal(params[0].grad, torch.zeros(3, 2))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_model_without_weight_matrices_costs_nothing_and_stays(name):
    assert make(name, []).penalty is None
    assert make(name, []).project is None


@pytest.mark.parametrize("name", MEMBERS)
def test_a_bias_among_its_parameters_is_no_trouble(name):
    params = [*weights(), torch.nn.Parameter(torch.ones(3))]
    regularizer = make(name, params)
    if regularizer.penalty is not None:
        regularizer.penalty().backward()
    if regularizer.project is not None:
        regularizer.project()
    assert all(torch.isfinite(w).all() and w.requires_grad for w in params)
