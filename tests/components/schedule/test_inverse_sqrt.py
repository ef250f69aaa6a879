"""Inverse square root decay."""

import pytest

from trainctl.components.schedule.inverse_sqrt import inverse_sqrt


@pytest.mark.parametrize("warmup", [1, 10, 400])
def test_it_is_the_transformers_formula(warmup):
    multiplier = inverse_sqrt(warmup_steps=warmup, timescale_steps=warmup, total_steps=1000)
    highest = 512**-0.5 * warmup**-0.5
    for number in range(1, 1000):  # Vaswani et al. count steps from 1; after the warmup we are one behind
        wanted = 512**-0.5 * min(number**-0.5, number * warmup**-1.5) / highest
        assert multiplier(number - 1 if number <= warmup else number) == pytest.approx(wanted)


def test_three_time_scales_halve_it():
    multiplier = inverse_sqrt(warmup_steps=0, timescale_steps=20, total_steps=1000)
    assert [multiplier(step) for step in (0, 60, 300)] == pytest.approx([1.0, 0.5, 0.25])
