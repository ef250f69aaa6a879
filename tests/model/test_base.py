"""What the models share: above all, that a shape which does not fit is traced to its layer."""

import pytest
import torch
from torch import nn

from trainctl.errors import ConfigError
from trainctl.model.base import groups, try_row


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
    assert message.startswith("model=deep cannot take rows of shape (4,): layer head.1, Linear(in_features=7,")
    assert "was given (1, 8): " in message
    assert "mat1 and mat2" in message
    assert "\n" not in message


def test_an_error_in_no_layer_is_told_without_one():
    with pytest.raises(ConfigError, match=r"rows of shape \(4,\): too short$"):
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
