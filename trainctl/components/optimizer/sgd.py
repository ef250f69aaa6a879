"""Stochastic gradient descent with momentum."""

import torch

from trainctl.components.optimizer.base import NotNegative, ParameterGroups, Rate, Share
from trainctl.errors import ConfigError


def sgd(
    *, params: ParameterGroups, lr: Rate, momentum: Share, dampening: Share, nesterov: bool, weight_decay: NotNegative
) -> torch.optim.Optimizer:
    r"""Return gradient descent, with momentum (heavy ball) or Nesterov's.

    .. math::
        g_t &= \nabla L(w_{t-1}) + \lambda w_{t-1} \\
        v_t &= \mu v_{t-1} + (1 - \tau) g_t, \qquad v_1 = g_1 \\
        w_t &= w_{t-1} - \eta\, v_t \quad\text{or, with Nesterov,}\quad w_{t-1} - \eta\,(g_t + \mu v_t)

    Args:
        params: Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        momentum: :math:`\mu` [1]; 0 is plain gradient descent.
        dampening: :math:`\tau` [1]; without momentum it does nothing.
        nesterov: Whether to look ahead; needs momentum and no dampening.
        weight_decay: :math:`\lambda`, added to the gradient.

    Raises:
        ConfigError: If Nesterov's momentum is asked for without momentum, or with dampening.

    Source: H. Robbins, S. Monro, 1951; B. Polyak, 1964; I. Sutskever et al., On the importance of
    initialization and momentum, 2013. As in PyTorch, the rate multiplies the velocity.
    """
    if nesterov and (momentum == 0 or dampening != 0):
        raise ConfigError(
            f"optimizer.nesterov=true needs optimizer.momentum above 0 and optimizer.dampening=0, got {momentum} and {dampening}"
        )
    return torch.optim.SGD(
        params, lr=lr, momentum=momentum, dampening=dampening, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
