"""AdaMax: Adam with the largest gradient instead of the mean square."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate


def adamax(
    *,
    params: ParameterGroups,
    lr: Rate,
    beta1: Fraction,
    beta2: Fraction,
    eps: Annotated[float, "(0, inf)"],
    weight_decay: NotNegative,
) -> torch.optim.Optimizer:
    r"""Return AdaMax, a variant of Adam based on the infinity norm.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t \\
        u_t &= \max(\beta_2 u_{t-1}, |g_t| + \epsilon) \\
        w_t &= w_{t-1} - \frac{\eta}{1 - \beta_1^t}\, \frac{m_t}{u_t}

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        beta1: Decay of the mean of gradients [1].
        beta2: Decay of the largest gradient [1].
        eps: :math:`\epsilon`, which keeps :math:`u` above 0; not in the paper.
        weight_decay: :math:`\lambda`; :math:`\lambda w` is added to the gradient.

    Source: D. Kingma, J. Ba, Adam, ICLR 2015, algorithm 2, with its defaults.
    """
    return torch.optim.Adamax(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)
