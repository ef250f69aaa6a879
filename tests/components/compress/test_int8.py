"""Computing with 8 bits: the equations, exactness, and gradients that pass the rounding."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from trainctl.components.compress._int8_layers import Range, rounded, scales
from trainctl.components.compress.base import Moment, Training
from trainctl.components.compress.int8 import convert, fix, int8, quantised_weights, ranges, without_ranges
from trainctl.errors import ConfigError


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_weight_is_a_whole_number_of_its_channels_scale_and_stays_so(size, axis):
    weight = torch.randn(40, 33, generator=torch.Generator().manual_seed(0)) * size
    scale, once = scales(weight, axis), rounded(weight, axis)
    steps = (weight / scale).round()
    assert steps.abs().max() <= 127
    assert torch.equal(steps.to(torch.int8).float() * scale, once)
    assert torch.equal(rounded(once, axis), once)
    assert torch.equal(scale.bfloat16().float(), scale)
    exact = weight.abs().amax(1 - axis, keepdim=True) / 127
    assert ((scale - exact).abs() <= exact * 2**-8).all()
    assert ((once - weight).abs() <= 0.51 * scale).all()


def test_a_channel_of_zeros_stays_0():
    weight = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    assert torch.equal(rounded(weight, 0)[0], torch.zeros(2))


def test_an_activation_is_rounded_to_255_steps_of_its_range_and_0_stays_0():
    one = Range().eval()
    one.limits.copy_(torch.tensor([-1.0, 3.0, 1.0]))
    values = torch.linspace(-2, 4, 1001)
    scale = 4 / 255
    below = round(-1 / scale) * scale
    wanted = (values.clamp(below, below + 4) / scale).round() * scale
    torch.testing.assert_close(one(values), wanted)
    assert one(torch.zeros(3)).tolist() == [0, 0, 0]
    assert len(one(values).unique()) == 256


def test_without_a_known_range_values_pass():
    values = torch.randn(5)
    assert torch.equal(Range().eval()(values), values)


def test_the_range_is_a_running_mean_of_the_extremes_of_batches():
    one = Range().train()
    batches = [torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 4.0]), torch.tensor([-4.0, 0.0])]
    for batch in batches:
        one(batch)
    torch.testing.assert_close(one.limits, torch.tensor([(-1 + 0 - 4) / 3, (2 + 4 + 0) / 3, 3.0]))
    one.limits[2] = 500
    before = one.limits.clone()
    one(torch.tensor([0.0, 100.0]))
    torch.testing.assert_close(one.limits[1], before[1] + 0.01 * (100 - before[1]))


def test_gradients_pass_the_rounding_and_stop_where_a_value_was_clipped():
    one = Range().train()
    one.limits.copy_(torch.tensor([0.0, 1.0, 1000.0]))
    values = torch.tensor([0.3, 0.5, 9.0], requires_grad=True)
    one(values).sum().backward()
    assert values.grad.tolist() == [1, 1, 0]
    weight = torch.randn(4, 3, requires_grad=True)
    (rounded(weight, 0) * 2).sum().backward()
    assert torch.equal(weight.grad, torch.full((4, 3), 2.0))


def test_a_linear_layer_computes_the_equation():
    net = mlp()
    plain, rows = copy.deepcopy(net), torch.randn(64, 6)
    convert(net)
    net.train()(rows)
    net.eval()
    inputs = net[0].input_range(rows)
    wanted = inputs @ rounded(plain[0].weight, 0).T + plain[0].bias
    torch.testing.assert_close(net[0](rows), wanted)
    assert (net(rows) - plain(rows)).abs().max() < 0.05


def test_the_names_of_the_weights_stay():
    net = mlp()
    names = list(net.state_dict())
    convert(net)
    assert list(without_ranges(net.state_dict())) == names
    assert quantised_weights(net) == {"0.weight": 0, "2.weight": 0}


def test_fixing_a_model_changes_no_bit_of_its_outputs():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    convert(net)
    rows = torch.randn(8, 2, 6, 6)
    net.train()(rows)
    before = net.eval()(rows)
    fix(net)
    assert torch.equal(net(rows), before)
    assert torch.equal(net[0].weight, rounded(net[0].weight, 0))


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_compute_with_rounded_weights_also_on_packed_texts(cell):
    torch.manual_seed(0)
    plain = cell(4, 5, num_layers=2, batch_first=True)
    net = nn.Sequential(copy.deepcopy(plain))
    convert(net)
    rows = torch.randn(3, 7, 4)
    net.train()(rows)[0].sum().backward()
    assert net[0].weight_hh_l1.grad.any()
    net.eval()
    with torch.no_grad():
        for weight in plain.parameters():
            weight.copy_(rounded(weight, 0) if weight.ndim > 1 else weight)
    inputs = net[0].input_range(rows)
    torch.testing.assert_close(net[0](rows)[0], plain(inputs)[0])
    lengths = torch.tensor([7, 4, 2])
    packed = pack_padded_sequence(rows, lengths, batch_first=True)
    torch.testing.assert_close(
        net[0](packed)[0].data, plain(pack_padded_sequence(inputs, lengths, batch_first=True))[0].data
    )


def test_an_embedding_has_a_scale_for_each_column():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(9, 4, padding_idx=0), nn.Flatten(), nn.Linear(8, 2))
    weight = net[0].weight.detach().clone()
    convert(net)
    ids = torch.tensor([[1, 0], [3, 8]])
    assert torch.equal(net[0].eval()(ids), rounded(weight, 1)[ids])
    assert quantised_weights(net)["0.weight"] == 1


def test_training_is_in_floating_point_until_it_begins():
    net = mlp()
    plain, rows = copy.deepcopy(net), torch.randn(16, 6)
    convert(net)
    constraint = int8(begin=0.5).constrain(net, Training(10, 0))
    constraint.before(Moment(4, 4))
    assert torch.equal(net.train()(rows), plain(rows))
    assert not any(one.known for one in ranges(net))
    constraint.before(Moment(5, 5))
    assert not torch.equal(net.train()(rows), plain(rows))
    assert [constraint.complete(4), constraint.complete(5)] == [False, True]
    assert constraint.phase(4) != constraint.phase(5)


def test_layers_of_other_classes_are_left_alone_and_nothing_to_do_is_an_error():
    class Own(nn.Linear):
        pass

    net = nn.Sequential(Own(2, 2), nn.Linear(2, 2))
    convert(net)
    assert type(net[0]) is Own
    with pytest.raises(ConfigError, match="Sequential has no layer that can be quantised"):
        convert(nn.Sequential(nn.ReLU()))


def test_a_copy_computes_the_same_and_has_its_own_ranges():
    net = mlp()
    convert(net)
    rows = torch.randn(16, 6)
    net.train()(rows)
    other = copy.deepcopy(net)
    assert torch.equal(other.eval()(rows), net.eval()(rows))
    other.train()(rows * 9)
    assert not torch.equal(other[0].input_range.limits, net[0].input_range.limits)
