"""A batch in several parts: sums that do not depend on who adds them, and statistics that are those of one process."""

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.step.runs import make, train
from trainctl.step.batch_norms import Statistics
from trainctl.step.eager import eager
from trainctl.step.part import Part


def test_parameters_that_share_a_gradient_get_the_sum_once() -> None:
    def part(value: float) -> Part:
        shared = torch.full((3,), value)
        return Part(torch.tensor(value), [shared, shared, None], None)

    total = part(1.0).plus(part(2.0))
    assert [None if each is None else each.tolist() for each in total.gradients] == [[3.0] * 3, [3.0] * 3, None]
    assert float(total.loss) == 3


def folded(model: nn.Module, parts: list[Tensor]) -> list[Tensor]:
    statistics = Statistics(model)
    statistics.begin()
    rows = []
    for part in parts:
        model(part)
        rows.append(statistics.taken())
    statistics.end(rows)
    return [buffer.clone() for buffer in model.buffers()]


@pytest.mark.parametrize("momenta", [(0.1, 0.1), (None, None), (0.3, None)])
def test_statistics_of_parts_are_those_that_torch_computes_one_after_the_other(
    momenta: tuple[float | None, ...],
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.BatchNorm1d(3, momentum=momenta[0]), nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momenta[1])
    )
    other = copy.deepcopy(model)
    for _ in range(2):
        parts = [torch.randn(5, 3), torch.randn(4, 3) + 1, torch.randn(7, 3)]
        for part in parts:
            other(part)
        found = folded(model, parts)
    assert [norm.momentum for norm in (model[0], model[2])] == list(momenta)
    for one, expected in zip(found, other.buffers(), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-6, atol=1e-7)


def test_statistics_of_a_batch_that_fails_and_of_frozen_layers_stay() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    model[0].eval()
    before = copy.deepcopy(model.state_dict())
    statistics = Statistics(model)
    statistics.begin()
    model(torch.randn(5, 3) + 4)
    assert statistics.active_size == 6
    statistics.end(None)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_masks_of_two_parts_of_a_step_differ() -> None:
    run = make("model=mlp", "model.dropout=0.5", "loop.micro_batches=2", "loop.record=never")
    states: list[Tensor] = []
    dropout = next(module for module in run.model.modules() if isinstance(module, nn.Dropout))
    dropout.register_forward_pre_hook(lambda module, inputs: states.append(torch.get_rng_state()))
    train(run, eager(run), 2)
    layers = len(states) // 4 or 1
    firsts = states[:: len(states) // 4] if layers else states
    assert len({state.numpy().tobytes() for state in firsts}) == 4
