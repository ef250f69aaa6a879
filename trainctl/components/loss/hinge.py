"""Hinge loss of classes."""

from typing import Annotated

from torch import Tensor

from trainctl.components.loss.base import Loss


def hinge(*, margin: Annotated[float, "(0, inf)"]) -> Loss:
    r"""Return how far the right class falls short of beating every other one by a margin (Crammer and Singer).

    .. math:: L = \max\left(0,\; m + \max_{k \ne y} z_k - z_y\right)

    Outputs ``(N, K)`` are scores, targets ``(N,)`` are classes; rows that keep the margin have no
    gradient. The scores are no logits: probabilities of ``trainctl predict`` only rank the classes.

    Args:
        margin: :math:`m`, by which the right score is to exceed the best wrong one.

    Source: K. Crammer, Y. Singer, On the algorithmic implementation of multiclass kernel-based vector
    machines, 2001, section 3. (PyTorch's ``multi_margin_loss`` sums over the wrong classes, after Weston and
    Watkins; with two classes it is half of this one.)
    """

    def function(outputs: Tensor, targets: Tensor) -> Tensor:
        right = outputs.gather(1, targets[:, None])
        wrong = outputs.scatter(1, targets[:, None], float("-inf")).amax(1, keepdim=True)
        return (margin + wrong - right).clamp_min(0).mean()

    return Loss(function, ("classification",))
