"""What the models share: above all, that a shape which does not fit is traced to its layer."""

import pytest
import torch
from torch import nn

from trainctl.components.model.base import ACTIVATIONS, RISING, ByteDropout, groups, try_row
from trainctl.errors import ConfigError


class Deep(nn.Module):
    def __init__(self, fault=None):
        super().__init__()
        self.stem = nn.Linear(4, 8)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(7, 2))
        self.fault = fault

    def forward(self, values):
        if self.fault:
            raise self.fault
        return self.head(self.stem(values))


def test_a_shape_that_does_not_fit_is_traced_to_the_layer_that_was_given_it():
    with pytest.raises(ConfigError) as caught:
        try_row("deep", Deep(), torch.zeros(1, 4))
    message = str(caught.value)
    assert message.startswith("model=deep cannot process samples of shape (4,): layer head.1, Linear(in_features=7,")
    assert "received (1, 8): " in message
    assert "mat1 and mat2" in message
    assert "\n" not in message


def test_an_error_in_no_layer_is_told_without_one():
    with pytest.raises(ConfigError, match=r"samples of shape \(4,\): too short$"):
        try_row("deep", Deep(ValueError("too short\nand more")), torch.zeros(1, 4))


@pytest.mark.parametrize("text", ["CUDA out of memory. Tried to", "DefaultCPUAllocator: can't allocate memory"])
def test_a_lack_of_memory_is_not_taken_for_a_wrong_shape(text):
    with pytest.raises(RuntimeError, match="memory"):
        try_row("deep", Deep(RuntimeError(text)), torch.zeros(1, 4))


def test_nothing_is_left_in_the_model_whether_it_fits_or_not():
    fits, fails = nn.Sequential(nn.Linear(4, 2)), Deep()
    assert try_row("linear", fits, torch.zeros(1, 4)).shape == (1, 2)
    with pytest.raises(ConfigError):
        try_row("deep", fails, torch.zeros(1, 4))
    for module in (*fits.modules(), *fails.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("channels", range(1, 130))
def test_groups_divide_the_channels_and_are_never_too_many_or_too_small(channels):
    count = groups(channels)
    assert channels % count == 0
    assert count <= 32
    assert count == 1 or channels // count >= 4


# Dropout.


@pytest.mark.parametrize("p", [0.5, 0.25, 0.125, 2**-16, 3 * 2**-10, 0.1, 0.3, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_values_are_kept_with_the_probability_that_was_asked_for(p, dtype):
    torch.manual_seed(0)
    rows = 1_000_001
    mask = ByteDropout(p).kept(torch.zeros(rows, dtype=dtype))
    assert mask.dtype == dtype
    assert set(mask.unique().tolist()) <= {0.0, torch.tensor(1 / (1 - p), dtype=dtype).item()}
    dropped = (mask == 0).sum().item()
    assert abs(dropped - p * rows) < 5 * (rows * p * (1 - p)) ** 0.5


@pytest.mark.parametrize(("p", "bits"), [(0.5, 8), (0.25, 8), (3 * 2**-10, 16), (0.1, 32)])
def test_the_probability_is_exact_where_the_bits_express_it(monkeypatch, p, bits):
    # Every number that the bits can hold, once each (for 32 bits those around the limit).
    limit = round(p * 2**bits) - 2 ** (bits - 1)
    numbers = torch.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)) if bits < 32 else torch.arange(limit - 50, limit + 50)
    whole = numbers.to({8: torch.int8, 16: torch.int16, 32: torch.int32}[bits])
    monkeypatch.setattr(torch.Tensor, "random_", lambda self, *_: self.copy_(whole.view(torch.int64)[: len(self)]))
    mask = ByteDropout(p).kept(torch.zeros(len(numbers)))
    assert (mask != 0).tolist() == (numbers >= limit).tolist()
    if bits < 32:
        assert (mask == 0).sum().item() == p * 2**bits
    else:
        assert abs((limit + 2**31) / 2**32 - p) < 2e-10


def test_a_probability_next_to_1_has_a_limit_that_fits():
    assert not ByteDropout(1 - 2.0**-40).kept(torch.zeros(100)).any()


def test_neighbouring_values_are_dropped_independently():
    torch.manual_seed(0)
    mask = (ByteDropout(0.5).kept(torch.zeros(1_000_000)) == 0).double() - 0.5
    for distance in range(1, 17):
        assert abs((mask[distance:] * mask[:-distance]).mean().item()) < 5 * 0.25 / 1000


def test_a_mask_depends_on_the_random_state_alone():
    used, fresh, masks = ByteDropout(0.3), ByteDropout(0.3), []
    used(torch.ones(1000, 7))
    used.draws.fill_(77)
    for layer in (used, fresh):
        torch.manual_seed(5)
        masks.append((layer(torch.ones(100, 7)), layer(torch.ones(200, 7)), layer(torch.ones(3))))
    assert all(map(torch.equal, *masks))


def test_a_mask_lies_in_memory_as_the_values_do_and_gradients_pass_where_values_did():
    inputs = torch.ones(4, 3, 5, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    outputs = ByteDropout(0.5)(inputs)
    outputs.sum().backward()
    assert outputs.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(inputs.grad, outputs)
    assert set(outputs.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(ByteDropout(0.5).eval()(inputs), inputs)
    assert torch.equal(ByteDropout(0.0)(inputs), inputs)
    assert torch.ones(7, 2, 3)[:, :, 1].shape == ByteDropout(0.5)(torch.ones(7, 2, 3)[:, :, 1]).shape


@pytest.mark.parametrize("name", sorted(RISING))
def test_picking_the_largest_before_the_activation_changes_no_bit(name):
    torch.manual_seed(0)
    pool, active = nn.MaxPool2d(2), ACTIVATIONS[name]()
    found = []
    for layers in (nn.Sequential(active, pool), nn.Sequential(pool, active)):
        inputs = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
        outputs = layers(inputs)
        (outputs * torch.arange(outputs.numel()).view_as(outputs)).sum().backward()
        found.append((outputs, inputs.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
