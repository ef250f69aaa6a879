"""What the models share: activations, norm layers, and the check of shapes."""

from typing import Annotated, Literal

from torch import Tensor, nn

from trainctl.errors import ConfigError

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
Norm = Literal["none", "batch", "layer"]
Dropout = Annotated[float, "[0, 1)"]
Width = Annotated[int, "[1, inf)"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU,
    "silu": nn.SiLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
}  # fmt: skip


class Reconstruction(nn.Module):
    """Marks a model that learns to reproduce its input: the outputs have the inputs' shape.

    Args:
        body: The model itself, ``(N, *shape) -> (N, *shape)``.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the reconstruction of a batch."""
        reconstruction: Tensor = self.body(inputs)
        return reconstruction


def dense(
    inputs: int, outputs: int, *, activation: Activation, norm: Norm = "none", dropout: float = 0.0
) -> list[nn.Module]:
    """Return the layers of one hidden dense layer: linear, norm, activation, dropout."""
    norms: dict[str, list[nn.Module]] = {
        "none": [], "batch": [nn.BatchNorm1d(outputs)], "layer": [nn.LayerNorm(outputs)],
    }  # fmt: skip
    layers: list[nn.Module] = [nn.Linear(inputs, outputs), *norms[norm], ACTIVATIONS[activation]()]
    return [*layers, nn.Dropout(dropout)] if dropout else layers


def need(name: str, wanted: str, dimensions: int, input_shape: tuple[int, ...]) -> None:
    """Raise ConfigError unless rows have the number of dimensions that a model reads."""
    if len(input_shape) != dimensions:
        raise ConfigError(f"model={name} reads {wanted}; this data set's rows have shape {input_shape}: try model=mlp")
