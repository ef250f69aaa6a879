"""Adadelta: steps in the unit of the weights."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate


def adadelta(
    *,
    params: ParameterGroups,
    lr: Rate,
    rho: Fraction,
    eps: Annotated[float, "(0, inf)"],
    weight_decay: NotNegative,
) -> torch.optim.Optimizer:
    r"""Return Adadelta, which scales each step by the ratio of the running sizes of steps and gradients.

    .. math::
        v_t &= \rho v_{t-1} + (1 - \rho) g_t^2 \\
        \Delta_t &= \frac{\sqrt{u_{t-1} + \epsilon}}{\sqrt{v_t + \epsilon}}\, g_t \\
        u_t &= \rho u_{t-1} + (1 - \rho) \Delta_t^2 \\
        w_t &= w_{t-1} - \eta \Delta_t

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`; 1 gives the paper's method, which has no learning rate.
        rho: :math:`\rho`, decay of both means [1].
        eps: :math:`\epsilon`, added inside the roots; its root determines the size of the first steps.
        weight_decay: :math:`\lambda`; :math:`\lambda w` is added to the gradient.

    Source: M. Zeiler, ADADELTA: an adaptive learning rate method, 2012, algorithm 1; the factor :math:`\eta` and
    the defaults are PyTorch's (the paper's examples use :math:`\rho = 0.95`).
    """
    return torch.optim.Adadelta(params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
