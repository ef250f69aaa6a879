"""Adam that waits until its second moment is known."""

import math

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

CHANGES = [
    {},
    {"lr": 0.05, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled": True, "lr": 0.05},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal(
        "radam",
        changes,
        lambda params, keys: torch.optim.RAdam(
            params, foreach=False, **torch_arguments(keys, decoupled="decoupled_weight_decay")
        ),
    )


def test_the_first_five_steps_are_plain_momentum_and_the_sixth_is_rectified():
    w = torch.nn.Parameter(torch.zeros(1))
    optimizer = factory.build("optimizer", defaults("radam") | {"lr": 0.1}, params=[{"params": [w]}])
    steps = []
    for _ in range(6):
        before, w.grad = w.item(), torch.tensor([0.5])
        optimizer.step()
        steps.append(w.item() - before)
    assert steps[:5] == pytest.approx([-0.05] * 5, rel=1e-4)
    assert abs(steps[5]) < 0.01


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_is_the_formula_of_its_docstring_also_where_gradients_come_late(changes):
    keys = defaults("radam") | changes
    lr, beta1, beta2, eps, decay = (keys[name] for name in ("lr", "beta1", "beta2", "eps", "weight_decay"))
    weights = [torch.nn.Parameter(torch.full((3,), 0.5)) for _ in range(2)]
    optimizer = factory.build("optimizer", keys, params=[{"params": weights}])
    expected, mean, square, count = ([[start] * 3 for _ in weights] for start in (0.5, 0.0, 0.0, 0))
    limit = 2 / (1 - beta2) - 1
    for step in range(24):
        for index, weight in enumerate(weights):
            given = step >= 7 * index and (step + index) % 5 != 3  # the second one begins late, and both pause
            gradient = [math.sin(step + index + place) for place in range(3)]
            weight.grad = torch.tensor(gradient) if given else None
            for place, g in enumerate(gradient if given else []):
                w = expected[index][place] * (1 - lr * decay if keys["decoupled"] else 1)
                g += 0 if keys["decoupled"] else decay * w
                count[index][place] += 1
                m = mean[index][place] = beta1 * mean[index][place] + (1 - beta1) * g
                v = square[index][place] = beta2 * square[index][place] + (1 - beta2) * g * g
                t = count[index][place]
                rho = limit - 2 * t * beta2**t / (1 - beta2**t)
                rectified = 1.0
                if rho > 5:
                    ratio = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)
                    rectified = math.sqrt(ratio) * math.sqrt(1 - beta2**t) / (math.sqrt(v) + eps)
                expected[index][place] = w - lr * rectified * m / (1 - beta1**t)
        optimizer.step()
        for weight, numbers in zip(weights, expected, strict=True):
            assert weight.tolist() == pytest.approx(numbers, rel=2e-5, abs=1e-6)
