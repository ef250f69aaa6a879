"""Hinge loss for classes."""

from typing import Annotated

from torch import Tensor

from trainctl.components.loss.base import Loss


def hinge(*, margin: Annotated[float, "(0, inf)"]) -> Loss:
    r"""Return the multiclass hinge loss: how far the correct score is from exceeding all others by a margin.

    .. math:: L = \max\left(0,\; m + \max_{k \ne y} z_k - z_y\right)

    Outputs ``(N, K)`` are scores, targets ``(N,)`` are classes; samples beyond the margin have no gradient. The scores
    are not logits: the probabilities of ``trainctl predict`` only rank the classes.

    Args:
        margin: :math:`m`, by which the correct score should exceed the best wrong one.

    Source: K. Crammer, Y. Singer, On the algorithmic implementation of multiclass kernel-based vector
    machines, 2001, section 3. (PyTorch's ``multi_margin_loss`` sums over the wrong classes, following Weston and
    Watkins; with two classes it is half of this loss.)
    """

    def function(outputs: Tensor, targets: Tensor) -> Tensor:
        correct = outputs.gather(1, targets[:, None])
        wrong = outputs.scatter(1, targets[:, None], float("-inf")).amax(1, keepdim=True)
        return (margin + wrong - correct).clamp_min(0).mean()

    return Loss(function, ("classification",))
