"""Mean squared error."""

import pytest
import torch
from torch.nn import functional

from trainctl.components.loss.mse import mse

OUTPUTS = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.0, 4.0]])


def test_it_equals_torch_and_the_written_formula():
    torch.testing.assert_close(mse()(OUTPUTS, TARGETS), functional.mse_loss(OUTPUTS, TARGETS))
    assert mse()(OUTPUTS, TARGETS).item() == pytest.approx((0 + 4 + 9 + 1) / 4)


def test_images_are_compared_pixel_by_pixel():
    assert mse()(torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)).item() == 1.0


def test_it_is_for_numbers():
    assert mse().tasks == ("regression", "reconstruction")
