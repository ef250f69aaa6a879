"""Draw the weights of a model from a distribution, and set its biases."""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

Distribution = Literal["uniform", "normal"]
Fan = Literal["in", "out"]
Gain = Annotated[float, "(0, inf)"] | Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def gain_of(gain: Gain) -> float:
    """Return a gain as a number; for an activation, the value of ``torch.nn.init.calculate_gain``.

    >>> gain_of("linear"), gain_of(0.5), round(gain_of("relu") ** 2, 6), round(gain_of("tanh"), 6)
    (1.0, 0.5, 2.0, 1.666667)
    """
    return float(nn.init.calculate_gain(gain) if isinstance(gain, str) else gain)


def matrices(module: nn.Module) -> Iterator[Tensor]:
    """Yield the weights of a dense, convolutional or recurrent layer: its parameters of two or more dimensions.

    A recurrent layer stacks the matrices of its gates along dimension 0; each gate is yielded separately,
    so that its fan is that of a single matrix.
    """
    gates = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}.get(type(module), 1)
    for weight in module.parameters(recurse=False):
        if weight.ndim >= 2:
            yield from weight.chunk(gates)


@torch.no_grad()
def draw(model: nn.Module, fill: Callable[[Tensor], object], bias: float = 0.0) -> None:
    """Fill every weight matrix, and set the biases of its layer; norm layers keep their ones and zeros.

    A recurrent layer adds two biases; the second one becomes 0, so that their sum is ``bias``. The padding row of an
    embedding stays 0.
    """
    for module in model.modules():
        weights = list(matrices(module))
        for weight in weights:
            fill(weight)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx].zero_()
        for name, parameter in module.named_parameters(recurse=False) if weights else ():
            if "bias" in name:
                parameter.fill_(0.0 if name.startswith("bias_hh") else bias)


def spread(
    model: nn.Module, variance: Callable[[int, int], float], distribution: Distribution, bias: float = 0.0
) -> None:
    """Draw every weight matrix with mean 0 and a variance that depends on its fans.

    Args:
        model: The model.
        variance: ``(fan in, fan out) -> variance``; for a filter, the fans include its pixels.
        distribution: ``normal``, or ``uniform`` on plus or minus the square root of three variances.
        bias: Value of the biases.
    """

    def fill(weight: Tensor) -> None:
        pixels = weight[0, 0].numel()
        deviation = variance(weight.shape[1] * pixels, weight.shape[0] * pixels) ** 0.5
        if distribution == "normal":
            weight.normal_(0, deviation)
        else:
            weight.uniform_(-(3**0.5) * deviation, 3**0.5 * deviation)

    draw(model, fill, bias)
