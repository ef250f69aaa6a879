"""Distillation equals the formula in its docstring."""

import pytest
import torch
from torch import nn

from trainctl.components.teacher.base import Teacher
from trainctl.components.teacher.run import run
from trainctl.errors import ConfigError

SETTINGS = {"runs": ["r"], "which": "best", "view": "augmented", "unlabeled_factor": 4}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distilled(temperature: float = 4.0, weight: float = 0.9, task: str = "classification") -> Teacher:
    return run(**SETTINGS, temperature=temperature, weight=weight, panel=nn.Identity(), task=task)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_it_is_the_formula_of_hinton(temperature: float) -> None:
    teacher, outputs, answers = distilled(temperature), draw(7, 5), draw(7, 5, seed=1)
    q, s = (answers / temperature).softmax(1), (outputs / temperature).softmax(1)
    wanted = temperature**2 * (q * (q / s).log()).sum(1)
    torch.testing.assert_close(teacher.distance(outputs, teacher.says(answers)), wanted)
    assert teacher.weight(0) == teacher.weight(1000) == 0.9
    assert teacher.label_weight == pytest.approx(0.1)


def gradient(temperature: float) -> torch.Tensor:
    teacher, outputs, answers = distilled(temperature), draw(64, 10).requires_grad_(), draw(64, 10, seed=1)
    return torch.autograd.grad(teacher.distance(outputs, teacher.says(answers)).mean(), outputs)[0]


def test_the_size_of_the_gradient_does_not_depend_on_the_temperature() -> None:
    """At high temperatures it is (z - t) / K around their means (Hinton, equation 4), without a factor of T."""
    outputs, answers = draw(64, 10), draw(64, 10, seed=1)
    centred = [values - values.mean(1, keepdim=True) for values in (outputs, answers)]
    limit = (centred[0] - centred[1]) / 10 / 64
    torch.testing.assert_close(gradient(1000.0), limit, rtol=0.03, atol=1e-4)
    assert gradient(20.0).norm() == pytest.approx(float(gradient(40.0).norm()), rel=0.2)


def test_a_student_that_agrees_has_nothing_to_learn() -> None:
    teacher, outputs = distilled(), draw(7, 5).requires_grad_()
    distance = teacher.distance(outputs, teacher.says(outputs.detach() + 2)).sum()  # shifted: the same probabilities
    assert float(distance.detach()) == pytest.approx(0, abs=1e-4)
    assert float(torch.autograd.grad(distance, outputs)[0].abs().max()) < 1e-5


@pytest.mark.parametrize("task", ["regression", "reconstruction"])
def test_numbers_are_compared_by_squares(task: str) -> None:
    teacher, outputs, answers = distilled(task=task), draw(7, 2, 3), draw(7, 2, 3, seed=1)
    wanted = ((outputs - answers) ** 2).mean((1, 2))
    torch.testing.assert_close(teacher.distance(outputs, teacher.says(answers)), wanted)


def test_runs_are_needed() -> None:
    with pytest.raises(ConfigError, match=r"teacher.runs=\[\]: needs at least one run"):
        run(**{**SETTINGS, "runs": []}, temperature=1.0, weight=0.5, panel=None, task="classification")
