"""Stochastic gradient descent with momentum."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate
from trainctl.errors import ConfigError


class SGD(torch.optim.SGD):
    """PyTorch's SGD, which lets the first gradient of a parameter come later than those of others.

    The fused kernel starts the velocities of all parameters of a call, or of none; PyTorch raises TypeError where some
    have one and others do not. Layers that are thawed, and branches of a model that are rarely used, are such parameters.
    """

    def _init_group(
        self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], velocities: list[Tensor | None]
    ) -> bool:
        sparse: bool = super()._init_group(group, params, grads, velocities)  # type: ignore[no-untyped-call]
        if (
            group["momentum"] and not group["dampening"]
        ):  # then a velocity of 0 gives the first one exactly: the gradient
            for index, velocity in enumerate(velocities):
                velocities[index] = torch.zeros_like(params[index]) if velocity is None else velocity
        return sparse

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters that have a gradient; with dampening those without a velocity in a call of their own."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        update = inspect.unwrap(torch.optim.SGD.step)  # without the wrapper that imports PyTorch's compiler
        with_gradient = [
            (parameter, group)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        late = {
            parameter: parameter.grad
            for parameter, group in with_gradient
            if group["momentum"] and group["dampening"] and self.state[parameter].get("momentum_buffer") is None
        }
        others = {parameter: parameter.grad for parameter, _ in with_gradient if parameter not in late}
        for now, hidden in ((others, late), (late, others)) if late and others else ((others | late, {}),):
            for parameter in hidden:
                parameter.grad = None
            if now:
                update(self)
            for parameter, gradient in hidden.items():
                parameter.grad = gradient
        return loss


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
    return SGD(
        params, lr=lr, momentum=momentum, dampening=dampening, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
