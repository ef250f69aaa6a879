"""Which tensors an initialisation draws."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

Distribution = Literal["uniform", "normal"]


def matrices(model: nn.Module) -> Iterator[Tensor]:
    """Yield the weights of dense, convolutional and recurrent layers: all parameters of two or more dimensions.

    A recurrent layer stacks the matrices of its gates along dimension 0; each gate is yielded by itself,
    so that its fan is that of the matrix it is.
    """
    for module in model.modules():
        gates = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}.get(type(module), 1)
        for weight in module.parameters(recurse=False):
            if weight.ndim >= 2:
                yield from weight.chunk(gates)


def draw(model: nn.Module, fill: Callable[[Tensor], object]) -> None:
    """Fill every weight matrix, and set biases to zero (norm layers keep their ones and zeros)."""
    with torch.no_grad():
        for weight in matrices(model):
            fill(weight)
        for name, parameter in model.named_parameters():
            if "bias" in name.rpartition(".")[2]:
                parameter.zero_()
