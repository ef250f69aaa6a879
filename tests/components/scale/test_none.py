"""No scaling."""

import torch

from trainctl.components.scale.none import none


def test_bytes_become_the_same_numbers_as_floats():
    values = torch.arange(24, dtype=torch.uint8).reshape(2, 1, 3, 4)
    assert torch.equal(none(values=values)(values), values.float())
