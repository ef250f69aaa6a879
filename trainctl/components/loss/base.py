"""The type that every loss returns, and the weights of classes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from trainctl.errors import ConfigError
from trainctl.wording import amount

Task = Literal["classification", "regression", "reconstruction"]
ClassWeights = Literal["none", "balanced"] | list[Annotated[float, "[0, inf)"]]


@dataclass(frozen=True)
class Loss:
    """A loss and the tasks for which it is defined.

    Args:
        function: ``(outputs, targets) -> mean over the batch``, a scalar.
        tasks: The tasks whose targets it accepts.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    tasks: tuple[Task, ...]

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        return self.function(outputs, targets)


def weights_of(class_weights: ClassWeights, class_counts: Tensor) -> Tensor | None:
    r"""Return the weight of each class ``(K,)``, on the counts' device; None if all are 1.

    ``balanced`` is :math:`w_k = n / (K n_k)`, whose mean over the training rows is 1; a class without training rows
    counts as one row.

    Raises:
        ConfigError: If a list does not contain one weight for each class, or all of them are 0.

    Source: G. King, L. Zeng, Logistic regression in rare events data, 2001; equals scikit-learn's ``balanced``.
    """
    if class_weights == "none":
        return None
    if class_weights == "balanced":
        return class_counts.sum() / (len(class_counts) * class_counts.clamp_min(1).float())
    if len(class_counts) and len(class_weights) != len(class_counts):
        raise ConfigError(
            f"loss.class_weights has {amount(len(class_weights), 'weight')}, but the data has {amount(len(class_counts), 'class')}:"
            " list one weight for each class"
        )
    if not any(class_weights):
        raise ConfigError("loss.class_weights are all 0: nothing would be learned")
    return torch.tensor(class_weights, dtype=torch.float32, device=class_counts.device)
