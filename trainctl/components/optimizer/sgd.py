"""Stochastic gradient descent with momentum."""

import torch

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate
from trainctl.errors import ConfigError


def sgd(
    *,
    params: ParameterGroups,
    lr: Rate,
    momentum: Fraction,
    dampening: Fraction,
    nesterov: bool,
    weight_decay: NotNegative,
) -> torch.optim.Optimizer:
    r"""Return stochastic gradient descent with momentum (heavy ball or Nesterov's).

    .. math::
        g_t &= \nabla L(w_{t-1}) + \lambda w_{t-1} \\
        v_t &= \mu v_{t-1} + (1 - \tau) g_t, \qquad v_1 = g_1 \\
        w_t &= w_{t-1} - \eta\, v_t \quad\text{or, with Nesterov,}\quad w_{t-1} - \eta\,(g_t + \mu v_t)

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        momentum: :math:`\mu` [1]; 0 is plain gradient descent.
        dampening: :math:`\tau` [1]; has no effect without momentum.
        nesterov: Whether to use Nesterov's momentum; needs momentum and no dampening.
        weight_decay: :math:`\lambda`; :math:`\lambda w` is added to the gradient.

    Raises:
        ConfigError: If Nesterov's momentum is used without momentum, or with dampening.

    Source: H. Robbins, S. Monro, 1951; B. Polyak, 1964; I. Sutskever et al., On the importance of
    initialization and momentum, 2013. As in PyTorch, the velocity is multiplied by the rate.
    """
    if nesterov and (momentum == 0 or dampening != 0):
        raise ConfigError(
            "optimizer.nesterov=true needs optimizer.momentum above 0 and optimizer.dampening=0;"
            f" found {momentum} and {dampening}"
        )
    return torch.optim.SGD(
        params, lr=lr, momentum=momentum, dampening=dampening, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
