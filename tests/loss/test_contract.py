"""What every loss is: a mean over the batch, finite, with a gradient, for tasks it names."""

from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml

from trainctl import component
from trainctl.loss.base import Task

CONF = Path(__file__).parents[2] / "conf" / "loss"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))


def make(name):
    return component.build("loss", yaml.safe_load((CONF / f"{name}.yaml").read_text()), outputs=3)


def batch(task, rows=6):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(rows, 3, generator=generator).requires_grad_()
    return outputs, torch.arange(rows) % 3 if task == "classification" else torch.rand(rows, 3, generator=generator)


CASES = [(name, task) for name in MEMBERS for task in make(name).tasks]


def test_there_are_members_and_each_task_has_one():
    assert len(MEMBERS) >= 2
    assert {task for _, task in CASES} == set(get_args(Task))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_is_a_scalar_with_a_gradient_for_every_output(name, task):
    outputs, targets = batch(task)
    loss = make(name)(outputs, targets)
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert torch.isfinite(outputs.grad).all()
    assert (outputs.grad != 0).any(1).all()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_micro_batches_weighted_by_their_rows_add_up_to_the_batch(name, task):
    loss, (outputs, targets) = make(name), batch(task)
    parts = [(loss(outputs[part], targets[part]), rows) for part, rows in ((slice(0, 2), 2), (slice(2, 6), 4))]
    torch.testing.assert_close(sum(value * rows for value, rows in parts) / 6, loss(outputs, targets))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_going_down_its_gradient_makes_it_smaller(name, task):
    loss, (outputs, targets) = make(name), batch(task)
    before = loss(outputs, targets)
    before.backward()
    assert loss(outputs - 0.1 * outputs.grad, targets) < before
