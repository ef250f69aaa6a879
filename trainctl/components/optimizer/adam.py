"""Adam: adaptive moment estimation."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate


def adam(
    *,
    params: ParameterGroups,
    lr: Rate,
    beta1: Fraction,
    beta2: Fraction,
    eps: Annotated[float, "(0, inf)"],
    weight_decay: NotNegative,
    amsgrad: bool,
) -> torch.optim.Optimizer:
    r"""Return Adam with L2 weight decay, which is added to the gradient.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad \hat m_t = m_t / (1 - \beta_1^t) \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2) g_t^2, \qquad \hat v_t = v_t / (1 - \beta_2^t) \\
        w_t &= w_{t-1} - \eta\, \hat m_t / (\sqrt{\hat v_t} + \epsilon)

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        beta1: Decay of the mean of gradients [1].
        beta2: Decay of the mean of squared gradients [1].
        eps: :math:`\epsilon`, added to the root after the bias correction, as in the paper's algorithm 1.
        weight_decay: :math:`\lambda`; :math:`\lambda w` is added to the gradient.
        amsgrad: Whether to divide by the root of the largest :math:`\hat v` so far.

    Source: D. Kingma, J. Ba, Adam, ICLR 2015, algorithm 1; AMSGrad: S. Reddi et al., ICLR 2018.
    """
    return torch.optim.Adam(
        params,
        lr=lr,
        betas=(float(beta1), float(beta2)),
        eps=eps,
        weight_decay=weight_decay,
        amsgrad=amsgrad,
        fused=True,
    )
