"""What every weight averaging returns."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Average:
    """The model to evaluate and to keep, and how it follows the one that is trained.

    Args:
        model: The model that is evaluated: the trained one itself, or a copy with averaged weights.
        update: Called after every optimizer step with the step's number, from 1.
    """

    model: nn.Module
    update: Callable[[int], None]
