"""AdamW: Adam with decoupled weight decay."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate


def adamw(
    *,
    params: ParameterGroups,
    lr: Rate,
    beta1: Fraction,
    beta2: Fraction,
    eps: Annotated[float, "(0, inf)"],
    weight_decay: NotNegative,
    amsgrad: bool,
) -> torch.optim.Optimizer:
    r"""Return Adam with decoupled weight decay, which is applied directly to the weights.

    .. math:: w_t = (1 - \eta\lambda)\, w_{t-1} - \eta\, \hat m_t / (\sqrt{\hat v_t} + \epsilon)

    with Adam's moments :math:`\hat m, \hat v`.

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        beta1: Decay of the mean of gradients [1].
        beta2: Decay of the mean of squared gradients [1].
        eps: :math:`\epsilon`, added to the root.
        weight_decay: :math:`\lambda`; as in PyTorch, it is multiplied by the learning rate.
        amsgrad: Whether to divide by the root of the largest :math:`\hat v` so far.

    Source: I. Loshchilov, F. Hutter, Decoupled weight decay regularization, ICLR 2019, algorithm 2.
    """
    return torch.optim.AdamW(
        params,
        lr=lr,
        betas=(float(beta1), float(beta2)),
        eps=eps,
        weight_decay=weight_decay,
        amsgrad=amsgrad,
        fused=True,
    )
