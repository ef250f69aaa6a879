"""Decay at given times."""

import pytest
import torch

from tests.components.schedule.references import rates
from trainctl.components.schedule.multistep import multistep
from trainctl.errors import ConfigError

RUN = {"total_steps": 40, "steps_per_epoch": 5}


@pytest.mark.parametrize(("milestones", "gamma"), [([3], 0.1), ([1, 2, 7], 0.5), ([], 0.1), ([2, 4], 1.0)])
def test_it_equals_torch_in_every_step_of_a_run(milestones, gamma):
    multiplier = multistep(warmup_steps=0, milestones=milestones, gamma=gamma, **RUN)
    wanted = rates(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones, gamma), 40, every=5)
    assert [multiplier(step) for step in range(40)] == pytest.approx(wanted, rel=1e-12)


def test_fractions_are_shares_of_the_run_and_a_warmup_does_not_move_them():
    multiplier = multistep(warmup_steps=10, milestones=[0.5, 6], gamma=0.1, **RUN)
    found = [multiplier(step) for step in (9, 10, 19, 20, 29, 30, 39)]
    assert found == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(
    ("milestones", "warmup", "message"),
    [
        ([3, 2], 0, "milestones must be strictly increasing"),
        ([0.5, 4], 0, "milestones must be strictly increasing"),  # both are step 20
        ([3, 8], 0, "the run ends after 8 epochs, before 8"),
        ([1, 3], 6, r"schedule.warmup_steps=6 must end before the first milestone \(step 5\)"),
    ],
)
def test_milestones_that_cannot_be_are_a_wrong_configuration(milestones, warmup, message):
    with pytest.raises(ConfigError, match=rf"schedule\.milestones=\[{milestones[0]},{milestones[1]}\]: {message}"):
        multistep(warmup_steps=warmup, milestones=milestones, gamma=0.1, **RUN)
