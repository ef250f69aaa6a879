"""Exponential moving average of the weights."""

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainctl.components.average.ema import ema


@pytest.mark.parametrize("warm_up", [False, True])
def test_it_is_the_written_recursion(warm_up):
    model = torch.nn.Linear(3, 2)
    average, count, wanted = ema(model=model, decay=0.5, warm_up=warm_up), 0, model.weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    for number in range(1, 20):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3, generator=generator))
        count = average.update(number, count)
        decay = min(0.5, (1 + number) / (10 + number)) if warm_up else 0.5
        wanted = decay * wanted + (1 - decay) * model.weight.detach()
        torch.testing.assert_close(average.model.weight, wanted)
    assert count == 19
    assert not torch.equal(average.model.weight, model.weight)


def test_statistics_are_averaged_and_counters_copied():
    model = torch.nn.BatchNorm1d(2)
    average = ema(model=model, decay=0.75, warm_up=False)
    model.running_mean.fill_(4.0)
    model.num_batches_tracked.fill_(7)
    average.update(1, 0)
    assert average.model.running_mean.tolist() == [1.0, 1.0]
    assert average.model.num_batches_tracked == 7
    assert not any(weight.requires_grad for weight in average.model.parameters())


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_from_the_same_first_weights_on_it_is_pytorch_s(decay):
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    averaged.update_parameters(model)  # its first update copies the weights, from which ours begins
    average, count = ema(model=model, decay=decay, warm_up=False), 0
    for step in range(1, 30):
        with torch.no_grad():
            for value in model.state_dict().values():
                value.copy_(torch.randn(value.shape, generator=generator) if value.is_floating_point() else value + 1)
        averaged.update_parameters(model)
        count = average.update(step, count)
        theirs = averaged.module.state_dict()
        for name, value in average.model.state_dict().items():
            if value.is_floating_point():
                torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-6)
