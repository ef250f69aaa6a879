"""No compression."""

from torch import nn

from trainctl.components.compress.base import Training
from trainctl.components.compress.none import none


def test_nothing_is_changed():
    compress = none()
    assert compress.convert is None
    constraint = compress.constrain(nn.Linear(2, 2), Training(10, 0))
    assert not constraint.state
    assert constraint.complete(0)
