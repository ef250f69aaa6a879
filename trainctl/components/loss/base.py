"""What every loss returns, and the weights of classes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from trainctl.errors import ConfigError

Task = Literal["classification", "regression", "reconstruction"]
ClassWeights = Literal["none", "balanced"] | list[Annotated[float, "[0, inf)"]]


@dataclass(frozen=True)
class Loss:
    """A loss and the tasks it makes sense for.

    Args:
        function: ``(outputs, targets) -> mean over the batch``, a scalar.
        tasks: The tasks whose targets it understands.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    tasks: tuple[Task, ...]

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        return self.function(outputs, targets)


def weights_of(chosen: ClassWeights, class_counts: Tensor) -> Tensor | None:
    r"""Return the weight of each class ``(K,)``, on the counts' device; None if all are 1.

    ``balanced`` is :math:`w_k = n / (K n_k)`, whose mean over the training rows is 1; a class without a
    row there is counted as one row.

    Raises:
        ConfigError: If a list does not have one weight for each class, or all of them are 0.

    Source: G. King, L. Zeng, Logistic regression in rare events data, 2001; equals scikit-learn's ``balanced``.
    """
    if chosen == "none":
        return None
    if chosen == "balanced":
        return class_counts.sum() / (len(class_counts) * class_counts.clamp_min(1).float())
    if len(class_counts) and len(chosen) != len(class_counts):
        raise ConfigError(
            f"loss.class_weights has {len(chosen)} weights, the data has {len(class_counts)} classes: give one for each"
        )
    if not any(chosen):
        raise ConfigError("loss.class_weights are all 0: nothing would be learnt")
    return torch.tensor(chosen, dtype=torch.float32, device=class_counts.device)
