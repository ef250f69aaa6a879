"""AdamW: Adam with decoupled weight decay."""

from typing import Annotated

import torch

from trainctl.components.optimizer.base import NotNegative, ParameterGroups, Rate, Share


def adamw(
    *,
    params: ParameterGroups,
    lr: Rate,
    beta1: Share,
    beta2: Share,
    eps: Annotated[float, "(0, inf)"],
    weight_decay: NotNegative,
    amsgrad: bool,
) -> torch.optim.Optimizer:
    r"""Return Adam with weight decay that does not pass through the gradient's moments.

    .. math:: w_t = (1 - \eta\lambda)\, w_{t-1} - \eta\, \hat m_t / (\sqrt{\hat v_t} + \epsilon)

    with Adam's moments :math:`\hat m, \hat v`.

    Args:
        params: Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`.
        beta1: Decay of the mean of gradients [1].
        beta2: Decay of the mean of squared gradients [1].
        eps: :math:`\epsilon`, added to the root.
        weight_decay: :math:`\lambda`; as in PyTorch the learning rate multiplies it.
        amsgrad: Whether to divide by the largest :math:`\hat v` so far.

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
