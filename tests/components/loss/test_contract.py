"""What every loss is: a mean over the batch, finite, with a gradient, for tasks it names."""

from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml

from trainctl.components.loss.base import Task
from trainctl.errors import ConfigError
from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "loss"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))


CLASSES = {name: 2 if name == "binary_cross_entropy" else 3 for name in MEMBERS}


def make(name, **changes):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | changes
    counts = torch.arange(1, CLASSES[name] + 1)
    return factory.build("loss", keys, outputs=CLASSES[name], class_counts=counts)


def batch(name, task, rows=6, size=1.0):
    generator, columns = torch.Generator().manual_seed(0), CLASSES[name]
    outputs = (size * torch.randn(rows, columns, generator=generator)).requires_grad_()
    classes = torch.arange(rows) % columns
    return outputs, classes if task == "classification" else torch.rand(rows, columns, generator=generator)


CASES = [(name, task) for name in MEMBERS for task in make(name).tasks]


def test_there_are_members_and_each_task_has_one():
    assert len(MEMBERS) >= 9
    assert {task for _, task in CASES} == set(get_args(Task))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_is_a_scalar_with_a_gradient_for_every_row_that_costs_something(name, task):
    outputs, targets = batch(name, task)
    value = (loss := make(name))(outputs, targets)
    value.backward()
    assert value.shape == ()
    assert torch.isfinite(value)
    assert torch.isfinite(outputs.grad).all()
    costly = torch.stack([loss(row[None], target[None]) for row, target in zip(outputs, targets, strict=True)]) > 0
    assert costly.any()
    assert torch.equal((outputs.grad != 0).any(1), costly)


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e4, 1e18])
@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_and_its_gradient_are_finite_for_outputs_of_any_size(name, task, size):
    if name == "mse" and size > 1e6:
        pytest.skip("a square of 1e18 has no float32")
    outputs, targets = batch(name, task, size=size)
    loss = make(name)(outputs, targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(outputs.grad).all()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_micro_batches_weighted_by_their_rows_add_up_to_the_batch(name, task):
    loss, (outputs, targets) = make(name), batch(name, task)
    parts = [(loss(outputs[part], targets[part]), rows) for part, rows in ((slice(0, 2), 2), (slice(2, 6), 4))]
    torch.testing.assert_close(sum(value * rows for value, rows in parts) / 6, loss(outputs, targets))


WEIGHTED = [name for name in MEMBERS if "class_weights" in yaml.safe_load((CONF / f"{name}.yaml").read_text())]


def test_members_have_class_weights():
    assert len(WEIGHTED) >= 2


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_row_costs_its_class_weight(name):
    outputs, targets = batch(name, "classification")
    plain, weighted = make(name), make(name, class_weights=[2.0, 0.5, 0])
    for row, target, weight in zip(outputs, targets, [2.0, 0.5, 0.0] * 2, strict=True):
        torch.testing.assert_close(weighted(row[None], target[None]), weight * plain(row[None], target[None]))


@pytest.mark.parametrize("name", WEIGHTED)
def test_micro_batches_of_weighted_rows_add_up_too(name):
    loss, (outputs, targets) = make(name, class_weights="balanced"), batch(name, "classification")
    parts = loss(outputs[:2], targets[:2]) * 2 + loss(outputs[2:], targets[2:]) * 4
    torch.testing.assert_close(parts / 6, loss(outputs, targets))


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0, 2.0], "loss.class_weights has 2 weights, but the data has 3 classes"), ([0, 0, 0], "all 0")],
)
def test_weights_that_do_not_fit_the_classes_are_a_wrong_configuration(name, weights, message):
    with pytest.raises(ConfigError, match=message):
        make(name, class_weights=weights)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_going_down_its_gradient_makes_it_smaller(name, task):
    loss, (outputs, targets) = make(name), batch(name, task)
    before = loss(outputs, targets)
    before.backward()
    assert loss(outputs - 0.1 * outputs.grad, targets) < before
