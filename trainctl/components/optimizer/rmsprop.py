"""RMSprop: gradients divided by their running root mean square."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate


def rmsprop(
    *,
    params: ParameterGroups,
    lr: Rate,
    alpha: Fraction,
    eps: Annotated[float, "(0, inf)"],
    momentum: Fraction,
    centered: bool,
    weight_decay: NotNegative,
) -> torch.optim.Optimizer:
    r"""Return RMSprop with optional momentum and centering.

    .. math::
        v_t &= \alpha v_{t-1} + (1 - \alpha) g_t^2 \\
        m_t &= \alpha m_{t-1} + (1 - \alpha) g_t \\
        b_t &= \mu b_{t-1} + \frac{g_t}{\sqrt{v_t} + \epsilon}
            \quad\text{or, centered,}\quad \mu b_{t-1} + \frac{g_t}{\sqrt{v_t - m_t^2} + \epsilon} \\
        w_t &= w_{t-1} - \eta\, b_t

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        alpha: :math:`\alpha`, decay of the means [1].
        eps: :math:`\epsilon`, added to the root.
        momentum: :math:`\mu` [1]; 0 disables it.
        centered: Whether to divide by the standard deviation instead of the root mean square.
        weight_decay: :math:`\lambda`; :math:`\lambda w` is added to the gradient.

    Source: T. Tieleman, G. Hinton, Lecture 6.5, Coursera 2012; centered and with momentum: A. Graves, Generating
    sequences with recurrent neural networks, 2013. As in PyTorch, whose defaults these are, :math:`\epsilon` is outside
    the root.
    """
    return torch.optim.RMSprop(
        params, lr=lr, alpha=alpha, eps=eps, momentum=momentum, centered=centered, weight_decay=weight_decay
    )
