"""RAdam: Adam that corrects the variance of its first steps."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate


def radam(
    *,
    params: ParameterGroups,
    lr: Rate,
    beta1: Fraction,
    beta2: Fraction,
    eps: Annotated[float, "(0, inf)"],
    weight_decay: NotNegative,
    decoupled: bool,
) -> torch.optim.Optimizer:
    r"""Return RAdam: Adam with a correction of the variance in its first steps, so that it needs no warmup.

    .. math::
        \rho_\infty &= \tfrac{2}{1 - \beta_2} - 1, \qquad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t} \\
        r_t &= \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2)\rho_t}} \\
        w_t &= w_{t-1} - \eta\, r_t\, \hat m_t \frac{\sqrt{1 - \beta_2^t}}{\sqrt{v_t} + \epsilon}
            \quad\text{if } \rho_t > 5, \quad\text{else}\quad w_{t-1} - \eta\, \hat m_t

    with Adam's :math:`\hat m` and :math:`v`.

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        beta1: Decay of the mean of gradients [1].
        beta2: Decay of the mean of squared gradients [1].
        eps: :math:`\epsilon`, added to the root.
        weight_decay: :math:`\lambda`.
        decoupled: Whether weight decay is applied to the weights as in AdamW; otherwise it is added to the gradient.

    Source: L. Liu et al., On the variance of the adaptive learning rate and beyond, ICLR 2020, algorithm 2. As in
    PyTorch and the authors' code, the bound is 5 (in the paper: 4); the defaults are PyTorch's.
    """
    return torch.optim.RAdam(
        params,
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        decoupled_weight_decay=decoupled,
    )
