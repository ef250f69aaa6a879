"""PyTorch's own initialisation."""

from torch import nn


def none(*, model: nn.Module) -> None:
    """Keep the weights as PyTorch's layers draw them (for most: uniform, with variance 1 / (3 fan_in))."""
