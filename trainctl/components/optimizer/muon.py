"""Muon: momentum made orthogonal, for matrices; AdamW for the rest."""

from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor

from trainctl.components.optimizer.base import NotNegative, ParameterGroups, Rate, Share

# Coefficients of the quintic iteration: steepest at 0 while singular values end between 0.7 and 1.2.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix: Tensor, steps: int) -> Tensor:
    """Bring the singular values of a matrix close to 1 by Newton-Schulz iterations.

    On CUDA in bfloat16, as in the source; elsewhere in the matrix's own type, where bfloat16 is no faster.

    Args:
        matrix: Of shape ``(rows, columns)``.
        steps: Number of iterations.
    """
    a, b, c = QUINTIC
    x: Tensor = matrix.bfloat16() if matrix.is_cuda else matrix
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: Tensor = x.T if tall else x
    return found.to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """The updates of :func:`muon`; groups with ``momentum`` take Muon's, groups with ``betas`` AdamW's."""

    def __init__(self, groups: ParameterGroups) -> None:
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step along the gradients that are there."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    update = self._muon if "momentum" in group else self._adamw
                    update(weight, weight.grad, self.state[weight], group)

    def _muon(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        direction = (gradient.lerp(mean, momentum) if group["nesterov"] else mean).flatten(1)
        stretch = max(1.0, direction.shape[0] / direction.shape[1]) ** 0.5
        direction = orthogonal(direction, group["ns_steps"])
        weight.add_(direction.view(weight.shape), alpha=-group["lr"] * stretch)

    def _adamw(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
        state["step"] += 1
        mean = state["exp_avg"].lerp_(gradient, 1 - beta1) / (1 - beta1 ** state["step"])
        square = state["exp_avg_sq"].lerp_(gradient.square(), 1 - beta2) / (1 - beta2 ** state["step"])
        weight.addcdiv_(mean, square.sqrt_().add_(group["eps"]), value=-group["lr"])


def muon(
    *,
    params: ParameterGroups,
    lr: Rate,
    momentum: Share,
    nesterov: bool,
    ns_steps: Annotated[int, "[1, inf)"],
    weight_decay: NotNegative,
    adamw_lr: Rate,
    beta1: Share,
    beta2: Share,
    eps: Annotated[float, "(0, inf)"],
) -> torch.optim.Optimizer:
    r"""Return Muon for matrices and convolution filters, with AdamW for biases and norm parameters.

    .. math::
        m_t &= \mu m_{t-1} + (1 - \mu) g_t \\
        d_t &= \mu m_t + (1 - \mu) g_t \quad\text{with Nesterov, else}\quad m_t \\
        X &\leftarrow a X + (b X X^\top + c\, (X X^\top)^2) X,
            \quad\text{from}\quad X = d_t / \|d_t\|_F, \quad\text{repeated} \\
        w_t &= (1 - \eta\lambda)\, w_{t-1} - \eta \sqrt{\max(1, r / k)}\, X

    for a matrix of :math:`r` rows and :math:`k` columns; filters of shape ``(out, in, height, width)`` are matrices of
    ``out`` rows, and the gates of a recurrent layer, which it stacks, one matrix. Both learning rates follow the
    schedule.

    Args:
        params: Supplied by ``assemble``.
        lr: Learning rate :math:`\eta` of matrices: about the size of an update's singular values.
        momentum: :math:`\mu` [1].
        nesterov: Whether to look ahead.
        ns_steps: Newton-Schulz iterations.
        weight_decay: :math:`\lambda`, of both parts, as in AdamW.
        adamw_lr: Learning rate of all that is no matrix.
        beta1: AdamW's decay of the mean of gradients [1].
        beta2: AdamW's decay of the mean of squared gradients [1].
        eps: AdamW's :math:`\epsilon`, added to the root.

    Source: K. Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024, with
    :math:`(a, b, c) = (3.4445, -4.7750, 2.0315)` and the defaults of its code. Differs from it: first and last layers
    are matrices like all others (there AdamW trains them), and the factor of filters is that of the matrix they form.
    """
    matrices = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
    vectors = {"lr": adamw_lr, "betas": (beta1, beta2), "eps": eps}
    groups = []
    for settings, is_matrix in ((matrices, True), (vectors, False)):
        for group in params:
            chosen = [weight for weight in group["params"] if (weight.ndim > 1) == is_matrix]
            if chosen:
                groups.append({"weight_decay": weight_decay} | group | settings | {"params": chosen})
    return Muon(groups)
