"""Zero initialisation: how not to do it."""

import warnings

from torch import nn

from trainctl.components.init.base import draw
from trainctl.errors import Advice


def zeros(*, model: nn.Module, bias: float) -> None:
    r"""Set all weights to 0, as a lesson: all units of a layer stay equal, and hidden layers may never learn.

    .. math:: w = 0

    With equal weights, equal gradients reach the units of a layer; with weights of 0 none reach the layers
    before, so that a deep network learns its last bias alone. A linear model learns all the same. Says so
    on standard error.

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        bias: Value of every bias; norm layers keep theirs.

    Source: I. Goodfellow, Y. Bengio, A. Courville, Deep Learning, 2016, section 8.4 (breaking symmetry).
    """
    warnings.warn(
        "init=zeros keeps all units of a layer equal, so hidden layers hardly learn: a lesson; else give init=none",
        Advice,
        stacklevel=2,
    )
    draw(model, lambda weight: weight.zero_(), bias)
