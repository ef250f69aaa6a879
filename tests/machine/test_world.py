"""The processes of a run: alone, every sum is the number itself; with others, metrics and checks are those of all."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from trainctl.machine.world import ALONE, World
from trainctl.run import assemble
from trainctl.run.sums import Sums
from trainctl.settings import compose
from trainctl.train import health


@dataclass(frozen=True)
class Pair(World):
    """Two processes, of which the other one has a number of its own to add."""

    other: Tensor

    def sum(self, tensor: Tensor) -> Tensor:
        return tensor + self.other


def test_alone_a_sum_is_the_tensor_itself():
    tensor = torch.ones(3)
    assert ALONE.sum(tensor) is tensor
    assert ALONE.first
    assert not World(rank=1, size=2).first


def test_a_run_of_several_processes_is_not_supported_yet():
    with pytest.raises(AssertionError, match="more than one process"):
        World(rank=0, size=2).sum(torch.ones(()))


def test_metrics_are_those_of_all_processes():
    outputs, targets = torch.eye(4), torch.tensor([0, 1, 2, 0])
    halves = [Sums("classification", 1, None, torch.device("cpu")) for _ in range(2)]
    whole = Sums("classification", 1, None, torch.device("cpu"))
    for sums, rows in ((halves[0], slice(0, 3)), (halves[1], slice(3, 4)), (whole, slice(0, 4))):
        loss = torch.nn.functional.cross_entropy(outputs[rows], targets[rows])
        sums.add(loss, outputs[rows], targets[rows])
    halves[0].world = Pair(0, 2, halves[1].sums)
    assert halves[0].values() == pytest.approx(whole.values())


@pytest.mark.parametrize(("other", "sound"), [(1.0, True), (math.nan, False), (math.inf, False)])
def test_a_number_that_is_not_finite_in_any_process_is_noticed_in_all(other, sound):
    run = assemble.assemble(compose.compose(["dataset=iris", "model=linear"]))
    evaluation = replace(run.evaluation, world=Pair(0, 2, torch.tensor(other)))
    assert health.state_is_finite(replace(run, evaluation=evaluation)) is sound
