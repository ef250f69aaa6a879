"""Pseudo-labels equal the formula in their docstring."""

import pytest
import torch
from torch import nn

from trainctl.components.teacher.base import Teacher
from trainctl.components.teacher.self import self as pseudo_labels
from trainctl.errors import ConfigError


def taught(task: str = "classification", **settings: float) -> Teacher:
    chosen = {
        "threshold": 0.6, "weight": 2.0, "warmup_fraction": 0.1, "ramp_fraction": 0.2, "unlabeled_factor": 4,
    } | settings  # fmt: skip
    return pseudo_labels(**chosen, model=nn.Linear(2, 2), task=task, total_steps=100)


@pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])
def test_only_confident_predictions_are_labels(threshold: float) -> None:
    teacher = taught(threshold=threshold)
    outputs, answers = 2 * torch.randn(50, 3), 2 * torch.randn(50, 3)
    p, labels = answers.softmax(1).max(1)
    wanted = torch.where(p >= threshold, -outputs.log_softmax(1)[torch.arange(50), labels], torch.zeros(50))
    torch.testing.assert_close(teacher.distance(outputs, teacher.says(answers)), wanted)
    assert teacher.only_unlabeled


def test_the_weight_is_zero_then_rises_then_stays() -> None:
    teacher = taught()
    assert [teacher.weight(step) for step in (0, 9, 10, 20, 30, 99)] == pytest.approx([0, 0, 0, 1, 2, 2])
    at_once = taught(ramp_fraction=0.0)
    assert [at_once.weight(step) for step in (9, 10)] == [0.0, 2.0]


@pytest.mark.parametrize(("task", "other"), [("regression", "teacher=mean"), ("reconstruction", "teacher=none")])
def test_other_tasks_are_refused(task: str, other: str) -> None:
    with pytest.raises(ConfigError, match=f"teacher=self is for classification, .* use {other}"):
        taught(task)
