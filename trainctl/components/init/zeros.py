"""Zero initialisation, which does not work for hidden layers."""

import warnings

from torch import nn

from trainctl.components.init.base import draw
from trainctl.errors import Advice


def zeros(*, model: nn.Module, bias: float) -> None:
    r"""Set all weights to 0, for demonstration only: all units of a layer stay equal, so hidden layers barely learn.

    .. math:: w = 0

    With equal weights, all units of a layer receive the same gradient; with weights of 0, no gradient reaches the
    layers before, so that a deep network learns only its last bias. A linear model does learn. A note on standard
    error says so.

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        bias: Value of every bias; norm layers keep theirs.

    Source: I. Goodfellow, Y. Bengio, A. Courville, Deep Learning, 2016, section 8.4 (breaking symmetry).
    """
    warnings.warn(
        "init=zeros keeps all units of a layer equal, so hidden layers barely learn; useful only as a demonstration,"
        " otherwise use init=none",
        Advice,
        stacklevel=2,
    )
    draw(model, lambda weight: weight.zero_(), bias)
