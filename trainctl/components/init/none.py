"""PyTorch's own initialisation."""

from torch import nn


def none(*, model: nn.Module) -> None:
    """Keep PyTorch's own initialisation (for most layers uniform, with variance 1 / (3 fan_in))."""
