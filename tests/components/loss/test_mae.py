"""Mean absolute error."""

import pytest
import torch
from torch.nn import functional

from trainctl.components.loss.mae import mae

OUTPUTS = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.0, 6.0]])


def test_it_equals_torch_and_the_written_formula():
    torch.testing.assert_close(mae()(OUTPUTS, TARGETS), functional.l1_loss(OUTPUTS, TARGETS))
    assert mae()(OUTPUTS, TARGETS).item() == pytest.approx((0 + 2 + 3 + 1) / 4)


def test_it_is_for_numbers():
    assert mae().tasks == ("regression", "reconstruction")
