"""Lion: steps of equal size along the sign of the momentum."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate


class Lion(torch.optim.Optimizer):
    """The update of :func:`lion`; its only state is the mean of gradients, ``exp_avg``."""

    def __init__(self, params: ParameterGroups, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._update(group, weights)

    def _update(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["exp_avg"] = torch.zeros_like(weight)
        means = [self.state[weight]["exp_avg"] for weight in weights]
        directions = torch._foreach_lerp(means, gradients, 1 - beta1)
        torch._foreach_sign_(directions)
        torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        torch._foreach_add_(weights, directions, alpha=-lr)
        torch._foreach_lerp_(means, gradients, 1 - beta2)


def lion(
    *, params: ParameterGroups, lr: Rate, beta1: Fraction, beta2: Fraction, weight_decay: NotNegative
) -> torch.optim.Optimizer:
    r"""Return Lion, which changes every weight by the learning rate, with weight decay as in AdamW.

    .. math::
        c_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t \\
        w_t &= w_{t-1} - \eta\, (\operatorname{sign}(c_t) + \lambda w_{t-1}) \\
        m_t &= \beta_2 m_{t-1} + (1 - \beta_2) g_t

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta`; the paper recommends a third to a tenth of AdamW's.
        beta1: :math:`\beta_1`, weight of the momentum in the direction [1].
        beta2: :math:`\beta_2`, decay of the mean of gradients [1].
        weight_decay: :math:`\lambda`, multiplied by the learning rate; the paper recommends three to ten times AdamW's.

    Source: X. Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023, algorithm 2; the default rate
    and decays are those of the authors' code.
    """
    return Lion(params, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay)
