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
    r"""Return gradient descent whose rate falls slowly, with a running mean of the weights.

    .. math::
        w_t &= (1 - \lambda \eta_t)\, w_{t-1} - \eta_t\, g_t, \qquad
        \eta_t = \frac{\eta}{(1 + \lambda \eta t)^\alpha} \\
        a_t &= a_{t-1} + \frac{w_t - a_{t-1}}{\max(1, t - 1 - t_0)}

    The mean :math:`a` is what is evaluated, kept and tested: with this optimizer comes ``average=polyak``, unless
    another is chosen. A schedule acts one step late, as PyTorch takes :math:`\eta_t` from the step before.

    Args:
        params: Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        lambd: :math:`\lambda`, decay of rate and weights alike; it reaches biases too, as in the source.
        alpha: :math:`\alpha`, power of the rate's decay [1].
        start_steps: :math:`t_0` [optimizer steps]; until then the mean is the newest weights.
        weight_decay: Factor of :math:`w` that is added to the gradient.

    Source: B. Polyak, A. Juditsky, Acceleration of stochastic approximation by averaging, 1992; rates as in W. Xu,
    Towards optimal one pass large scale learning with averaged stochastic gradient descent, 2011. Defaults as in
    PyTorch, but for ``start_steps``: a million there, which few runs reach.
    """
    return torch.optim.ASGD(params, lr=lr, lambd=lambd, alpha=alpha, t0=float(start_steps), weight_decay=weight_decay)
