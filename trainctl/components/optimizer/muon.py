"""Muon: orthogonalised momentum for matrices; AdamW for all other parameters."""

from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor

from trainctl.components.optimizer.base import Fraction, NotNegative, ParameterGroups, Rate

# Coefficients of the quintic iteration: as steep as possible at 0, with singular values between 0.7 and 1.2 at the end.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix: Tensor, steps: int) -> Tensor:
    """Bring the singular values of a matrix close to 1 by Newton-Schulz iterations.

    The type is bfloat16 on CUDA, as in the source; elsewhere, where bfloat16 is not faster, it is that of the matrix.

    Args:
        matrix: A matrix ``(rows, columns)``.
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
    x = x.T if tall else x
    return x.to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """The updates of :func:`muon`: Muon's for groups with ``momentum``, AdamW's for groups with ``betas``."""

    def __init__(self, groups: ParameterGroups) -> None:
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
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
    momentum: Fraction,
    nesterov: bool,
    ns_steps: Annotated[int, "[1, inf)"],
    weight_decay: NotNegative,
    adamw_lr: Rate,
    beta1: Fraction,
    beta2: Fraction,
    eps: Annotated[float, "(0, inf)"],
) -> torch.optim.Optimizer:
    r"""Return Muon for matrices and convolution filters, and AdamW for biases and norm parameters.

    .. math::
        m_t &= \mu m_{t-1} + (1 - \mu) g_t \\
        d_t &= \mu m_t + (1 - \mu) g_t \quad\text{with Nesterov, else}\quad m_t \\
        X &\leftarrow a X + (b X X^\top + c\, (X X^\top)^2) X,
            \quad\text{from}\quad X = d_t / \|d_t\|_F, \quad\text{repeated} \\
        w_t &= (1 - \eta\lambda)\, w_{t-1} - \eta \sqrt{\max(1, r / k)}\, X

    for a matrix with :math:`r` rows and :math:`k` columns. Filters ``(out, in, height, width)`` are treated as a matrix
    with ``out`` rows, and the stacked gates of a recurrent layer as one matrix. Both learning rates follow the schedule.

    Args:
        params: The parameter groups. Supplied by ``assemble``.
        lr: Learning rate :math:`\eta` of matrices; about the size of the singular values of an update.
        momentum: :math:`\mu` [1].
        nesterov: Whether to use Nesterov's momentum.
        ns_steps: Number of Newton-Schulz iterations.
        weight_decay: :math:`\lambda`, of both Muon and AdamW; applied as in AdamW.
        adamw_lr: Learning rate of parameters that are not matrices.
        beta1: AdamW's decay of the mean of gradients [1].
        beta2: AdamW's decay of the mean of squared gradients [1].
        eps: AdamW's :math:`\epsilon`, added to the root.

    Source: K. Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024, with
    :math:`(a, b, c) = (3.4445, -4.7750, 2.0315)` and the defaults of its code. Two things differ: the first and last
    layers are treated like all others (there AdamW trains them), and the factor of filters is that of their matrix.
    """
    matrices = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
    vectors = {"lr": adamw_lr, "betas": (beta1, beta2), "eps": eps}
    groups = []
    for settings, is_matrix in ((matrices, True), (vectors, False)):
        for group in params:
            weights = [weight for weight in group["params"] if (weight.ndim > 1) == is_matrix]
            if weights:
                groups.append({"weight_decay": weight_decay} | group | settings | {"params": weights})
    return Muon(groups)
