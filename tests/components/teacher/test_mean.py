"""Mean Teacher equals the formula in its docstring."""

import math

import pytest
import torch
from torch import nn

from trainctl.components.teacher.base import Teacher
from trainctl.components.teacher.mean import mean
from trainctl.errors import ConfigError


def taught(model: nn.Module, task: str = "classification", **settings: float) -> Teacher:
    chosen = {"decay": 0.9, "weight": 2.0, "ramp_fraction": 0.5, "unlabeled_factor": 4} | settings
    return mean(**chosen, model=model, task=task, total_steps=100)


def test_the_distance_is_the_squared_difference_of_probabilities() -> None:
    teacher, outputs, answers = taught(nn.Linear(2, 2)), torch.randn(6, 3), torch.randn(6, 3)
    wanted = ((outputs.softmax(1) - answers.softmax(1)) ** 2).sum(1)
    torch.testing.assert_close(teacher.distance(outputs, teacher.says(answers)), wanted)
    numbers = taught(nn.Linear(2, 2), "regression")
    torch.testing.assert_close(numbers.distance(outputs, numbers.says(answers)), ((outputs - answers) ** 2).mean(1))


def test_the_weight_rises_as_in_the_paper() -> None:
    teacher = taught(nn.Linear(2, 2))
    assert teacher.weight(0) == pytest.approx(2 * math.exp(-5))
    assert teacher.weight(25) == pytest.approx(2 * math.exp(-5 * 0.25))
    assert teacher.weight(50) == teacher.weight(99) == 2.0
    assert taught(nn.Linear(2, 2), ramp_fraction=0.0).weight(0) == 2.0


def test_the_teacher_follows_the_weights_and_the_statistics() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    teacher, wanted = taught(model), model[0].weight.detach().clone()
    assert teacher.model is not None
    assert not any(module.training for module in teacher.model.modules())
    for number in range(1, 15):
        with torch.no_grad():
            model[0].weight.copy_(torch.randn(2, 3))
        model[1].running_mean.fill_(number)
        model[1].num_batches_tracked.fill_(number)
        assert teacher.follow is not None
        teacher.follow(number)
        decay = min(0.9, 1 - 1 / (number + 1))
        wanted = decay * wanted + (1 - decay) * model[0].weight.detach()
        torch.testing.assert_close(teacher.changing_tensors["0.weight"], wanted)
    assert 7 < float(teacher.changing_tensors["1.running_mean"][0]) < 14
    assert teacher.changing_tensors["1.num_batches_tracked"] == 14
    assert not any(weight.requires_grad for weight in teacher.model.parameters())


def test_reconstructions_are_refused() -> None:
    with pytest.raises(ConfigError, match="teacher=mean is for classification and regression"):
        taught(nn.Linear(2, 2), "reconstruction")
