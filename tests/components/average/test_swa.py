"""Stochastic weight averaging."""

import pytest
import torch

from trainctl.components.average.swa import swa


@pytest.mark.parametrize(
    ("settings", "counted"),
    [
        ({"start_fraction": 0.5, "every_steps": None}, [15, 20, 22]),  # ends of epochs after step 11, and the last
        ({"start_fraction": 0.0, "every_steps": 1}, list(range(1, 23))),
        ({"start_fraction": 0.75, "every_steps": 2}, [18, 20, 22]),
        ({"start_fraction": 0.95, "every_steps": 50}, [22]),
    ],
    ids=str,
)
def test_it_is_the_mean_of_the_weights_that_count_and_before_them_the_trained_ones(settings, counted):
    model = torch.nn.Linear(3, 2)
    average, count, seen = swa(model=model, **settings, total_steps=22, steps_per_epoch=5), 0, []
    generator = torch.Generator().manual_seed(0)
    for number in range(1, 23):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3, generator=generator))
        count = average.update(number, count)
        seen += [model.weight.detach().clone()] if number in counted else []
        assert count == len(seen)
        wanted = torch.stack(seen).mean(0) if seen else model.weight
        torch.testing.assert_close(average.model.weight, wanted)


def test_a_longer_run_begins_to_average_later_and_anew():
    model = torch.nn.Linear(3, 2)
    average = swa(model=model, start_fraction=0.5, every_steps=1, total_steps=100, steps_per_epoch=5)
    assert average.update(30, 7) == 0
    assert torch.equal(average.model.weight, model.weight)
