"""Stochastic gradient descent with momentum."""

from typing import Any

import torch

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate
from trainctl.errors import ConfigError


def start_velocities(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    r"""Give each parameter whose first gradient comes later than those of others the velocity before that gradient.

    The fused kernel starts the velocities of all parameters of a group, or of none; PyTorch raises TypeError where some
    have one and others do not. Layers that are thawed, and branches of a model that are rarely used, are such parameters.
    The first velocity is the gradient, :math:`v = g`. It follows from :math:`\mu v_0 + (1 - \tau) g` with
    :math:`v_0 = \tau g / \mu`, which is 0 without dampening.
    """
    for group in optimizer.param_groups:
        moving = [parameter for parameter in group["params"] if group["momentum"] and parameter.grad is not None]
        late = [parameter for parameter in moving if optimizer.state[parameter].get("momentum_buffer") is None]
        if len(late) == len(moving):
            continue
        for parameter in late:
            velocity = torch.zeros_like(parameter, requires_grad=False)
            if group["dampening"]:
                scale, skipped = getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)
                gradient = parameter.grad if scale is None else parameter.grad / scale
                gradient = gradient + group["weight_decay"] * parameter.detach()
                velocity.add_(gradient, alpha=group["dampening"] / group["momentum"])
                if skipped is not None:  # the kernel skips this step, and its gradients may be infinite
                    velocity = torch.where(skipped > 0, torch.zeros_like(velocity), velocity)
            optimizer.state[parameter]["momentum_buffer"] = velocity


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
    optimizer = torch.optim.SGD(
        params, lr=lr, momentum=momentum, dampening=dampening, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
    optimizer.register_step_pre_hook(start_velocities)
    return optimizer
