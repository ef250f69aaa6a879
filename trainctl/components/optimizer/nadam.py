"""NAdam: Adam with Nesterov's momentum."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate


def nadam(
    *,
    params: ParameterGroups,
    lr: Rate,
    beta1: Fraction,
    beta2: Fraction,
    eps: Annotated[float, "(0, inf)"],
    momentum_decay: NotNegative,
    weight_decay: NotNegative,
    decoupled: bool,
) -> torch.optim.Optimizer:
    r"""Return NAdam: Adam with Nesterov's momentum, which has its own schedule.

    .. math::
        \mu_t &= \beta_1 \left(1 - \tfrac12\, 0.96^{t \psi}\right) \\
        \hat m_t &= \frac{\mu_{t+1} m_t}{1 - \prod_{i=1}^{t+1} \mu_i}
            + \frac{(1 - \mu_t) g_t}{1 - \prod_{i=1}^{t} \mu_i} \\
        w_t &= w_{t-1} - \eta\, \hat m_t / (\sqrt{\hat v_t} + \epsilon)

    with Adam's :math:`m` and :math:`\hat v`.

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        beta1: :math:`\beta_1`, decay of the mean of gradients [1].
        beta2: Decay of the mean of squared gradients [1].
        eps: :math:`\epsilon`, added to the root.
        momentum_decay: :math:`\psi`, how fast :math:`\mu` rises from half of :math:`\beta_1`.
        weight_decay: :math:`\lambda`.
        decoupled: Whether weight decay is applied to the weights as in AdamW; otherwise it is added to the gradient.

    Source: T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016, algorithm 2; the defaults are
    PyTorch's.
    """
    return torch.optim.NAdam(
        params,
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        momentum_decay=momentum_decay,
        weight_decay=weight_decay,
        decoupled_weight_decay=decoupled,
    )
