"""No augmentation."""

import torch

from trainctl.components.augment.none import none


def test_a_batch_of_any_shape_stays():
    batch = torch.arange(6.0).reshape(2, 3)
    assert none()(batch, torch.Generator()) is batch
