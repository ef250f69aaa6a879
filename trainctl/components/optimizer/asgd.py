"""Averaged stochastic gradient descent."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import NotNegative, ParameterGroups, Rate


def asgd(
    *,
    params: ParameterGroups,
    lr: Rate,
    lambd: NotNegative,
    alpha: Annotated[float, "(0, 1]"],
    start_steps: Annotated[int, "[0, inf)"],
    weight_decay: NotNegative,
) -> torch.optim.Optimizer:
    r"""Return averaged SGD: a slowly decaying learning rate and a running mean of the weights.

    .. math::
        w_t &= (1 - \lambda \eta_t)\, w_{t-1} - \eta_t\, g_t, \qquad
        \eta_t = \frac{\eta}{(1 + \lambda \eta t)^\alpha} \\
        a_t &= a_{t-1} + \frac{w_t - a_{t-1}}{\max(1, t - 1 - t_0)}

    The mean :math:`a` is evaluated, saved and tested: this optimizer selects ``average=polyak``, unless you choose
    another average. A schedule takes effect one step late, because PyTorch computes :math:`\eta_t` in the previous step.

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        lambd: :math:`\lambda`, decay of both the rate and the weights; as in the source, it applies to biases too.
        alpha: :math:`\alpha`, power of the rate's decay [1].
        start_steps: :math:`t_0` [optimizer steps]; until then the mean equals the current weights.
        weight_decay: Multiple of :math:`w` that is added to the gradient.

    Source: B. Polyak, A. Juditsky, Acceleration of stochastic approximation by averaging, 1992; rates as in W. Xu,
    Towards optimal one pass large scale learning with averaged stochastic gradient descent, 2011. The defaults are
    PyTorch's, except for ``start_steps``, which is a million there and which few runs reach.
    """
    return torch.optim.ASGD(params, lr=lr, lambd=lambd, alpha=alpha, t0=float(start_steps), weight_decay=weight_decay)
