"""Adagrad: a separate learning rate for every weight."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import NotNegative, ParameterGroups, Rate


def adagrad(
    *,
    params: ParameterGroups,
    lr: Rate,
    lr_decay: NotNegative,
    initial_accumulator: NotNegative,
    eps: Annotated[float, "(0, inf)"],
    weight_decay: NotNegative,
) -> torch.optim.Optimizer:
    r"""Return Adagrad, which divides by the root of the sum of all squared gradients so far.

    .. math::
        g_t &= \nabla L(w_{t-1}) + \lambda w_{t-1} \\
        s_t &= s_{t-1} + g_t^2, \qquad s_0 = a \\
        w_t &= w_{t-1} - \frac{\eta}{1 + (t - 1)\, d}\, \frac{g_t}{\sqrt{s_t} + \epsilon}

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        lr_decay: :math:`d`, decay of the rate with the inverse of the step.
        initial_accumulator: :math:`a`, the sum at the start; larger values make the first steps smaller.
        eps: :math:`\epsilon`, added to the root.
        weight_decay: :math:`\lambda`; :math:`\lambda w` is added to the gradient.

    Source: J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods, JMLR 2011, the diagonal form; ``lr_decay`` and
    the defaults are PyTorch's.
    """
    return torch.optim.Adagrad(
        params,
        lr=lr,
        lr_decay=lr_decay,
        initial_accumulator_value=initial_accumulator,
        eps=eps,
        weight_decay=weight_decay,
    )
