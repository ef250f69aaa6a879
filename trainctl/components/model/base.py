"""What the models share: activations, norm layers, lists with one entry per layer, and the check of shapes."""

from functools import partial
from typing import Annotated, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from trainctl.errors import ConfigError, lacks_memory

Activation = Literal[
    "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "hardswish", "tanh", "sigmoid", "identity"
]
Norm = Literal["none", "batch", "layer", "group"]
Dropout = Annotated[float, "[0, 1)"]
Dropouts = Annotated[float, "[0, 1)"] | list[Annotated[float, "[0, 1)"]]
Width = Annotated[int, "[1, inf)"]
Widths = Annotated[int, "[1, inf)"] | list[Annotated[int, "[1, inf)"]]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "selu": nn.SELU, "gelu": nn.GELU, "silu": nn.SiLU,
    "mish": nn.Mish, "softplus": nn.Softplus, "hardswish": nn.Hardswish, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}  # fmt: skip
INTEGERS = {8: torch.int8, 16: torch.int16, 32: torch.int32}
# Of these the largest value of a window is the value of the largest, bit for bit, in the gradient too.
RISING = frozenset({"relu", "leaky_relu", "identity"})
MOST_GROUPS, SMALLEST_GROUP = 32, 4  # of group norm: the paper's groups, and the channels that a statistic needs

Setting = TypeVar("Setting")


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


class ByteDropout(nn.Dropout):
    """Dropout that draws its mask on a CPU as whole random numbers of few bits, not as one float for each value.

    A value is kept where a number of 8, 16 or 32 bits is not below ``p`` times their count: of as many bits as express
    ``p`` exactly, or else of 32, where the probability is right to 3e-10 (finer than a float's). Equal in distribution
    to PyTorch's dropout. One layer is for one thread: its calls draw into the same memory, of which copies of the layer
    have their own, and checkpoints nothing.

    Source: N. Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)
        # Memory that every call draws into: no call has to ask for some.
        self.draws = torch.empty(0, dtype=torch.int64)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the values that are kept, divided by the probability of being kept; zeros for the others."""
        if not (self.training and self.p) or inputs.device.type != "cpu":
            return super().forward(inputs)
        return inputs * self.kept(inputs)

    def kept(self, values: Tensor) -> Tensor:
        """Return a mask in the shape, layout and type of values: 0 with the probability ``p``, else 1 / (1 - p)."""
        bits = next((bits for bits in (8, 16) if (self.p * 2**bits).is_integer()), 32)
        words = -(-values.numel() * bits // 64)
        if len(self.draws) < words:
            self.draws = torch.from_numpy(np.empty(words, np.int64))  # not as a kernel, that a recording would repeat
        numbers = self.draws[:words].random_(-(2**63), None).view(INTEGERS[bits])[: values.numel()]
        limit = min(round(self.p * 2**bits), 2**bits - 1) - 2 ** (bits - 1)
        numbers.ge_(limit)  # in place: to bool and on to float takes ten times as long
        mask = numbers.to(values.dtype).mul_(1 / (1 - self.p))
        if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
            return mask.as_strided(values.shape, values.stride())
        return mask.view(values.shape)


def dense(
    inputs: int, outputs: int, *, activation: Activation, norm: Norm = "none", dropout: float = 0.0
) -> list[nn.Module]:
    """Return the layers of one hidden dense layer: linear, norm, activation, dropout."""
    layers = [nn.Linear(inputs, outputs), *norm_of_rows(norm, outputs), ACTIVATIONS[activation]()]
    return [*layers, ByteDropout(dropout)] if dropout else layers


def norm_of_rows(norm: Norm, width: int) -> list[nn.Module]:
    """Return the norm layer for values ``(N, width)``, in a list that is empty for ``none``."""
    if norm == "batch":
        return [nn.BatchNorm1d(width)]
    if norm == "layer":
        return [nn.LayerNorm(width)]
    return [nn.GroupNorm(groups(width), width)] if norm == "group" else []


def norm_of_maps(norm: Norm, channels: int) -> list[nn.Module]:
    """Return the norm layer for maps ``(N, channels, H, W)``, in a list that is empty for ``none``.

    ``layer`` takes its statistics over channels and pixels, and has a factor and an offset for each channel: a
    group norm of one group, so that the weights do not depend on the image's size.
    """
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "none":
        return []
    return [nn.GroupNorm(1 if norm == "layer" else groups(channels), channels)]


def groups(channels: int) -> int:
    """Return the groups of a group norm: as many as divide the channels, at most 32, of at least four channels.

    Source: Y. Wu, K. He, Group normalization, ECCV 2018 (32 groups); fewer for narrow layers, as a group of one unit
    has no variance.

    >>> [groups(channels) for channels in (256, 64, 16, 12, 6, 3)]
    [32, 16, 4, 3, 1, 1]
    """
    most = min(MOST_GROUPS, channels // SMALLEST_GROUP)
    return next((count for count in range(most, 1, -1) if channels % count == 0), 1)


def per_layer(key: str, given: Setting | list[Setting], count: int, layers: str) -> list[Setting]:
    """Return one value for each layer, from a single one or a list.

    Args:
        key: The parameter's, for the message.
        given: One value for all layers, or as many as there are.
        count: How many layers there are.
        layers: What they are called, with the parameter that decides how many.

    Raises:
        ConfigError: If a list has another length.
    """
    if not isinstance(given, list):
        return [given] * count
    if len(given) != count:
        raise ConfigError(
            f"model.{key}=[{','.join(map(str, given))}] has {len(given)} entries for {count} {layers}: give one for all, or {count}"
        )
    return given


def need(name: str, wanted: str, dimensions: int, input_shape: tuple[int, ...]) -> None:
    """Raise ConfigError unless rows have the number of dimensions that a model reads."""
    if len(input_shape) != dimensions:
        raise ConfigError(f"model={name} reads {wanted}; this data set's rows have shape {input_shape}: try model=mlp")


def try_row(name: str, model: nn.Module, row: Tensor) -> Tensor:
    """Return what a model makes of one row, without gradients.

    Args:
        name: The model's, for the message.
        model: In evaluation.
        row: A batch of one.

    Raises:
        ConfigError: If a layer cannot take what it is given; the message names the innermost one, and the shape.
    """
    entered: list[tuple[str, nn.Module, tuple[int, ...] | None]] = []

    def enter(path: str, module: nn.Module, given: tuple[object, ...]) -> None:
        entered.append((path, module, tuple(given[0].shape) if given and isinstance(given[0], Tensor) else None))

    def leave(*_: object) -> None:
        entered.pop()

    hooks = []
    for path, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(partial(enter, path)))
        hooks.append(module.register_forward_hook(leave))
    try:
        with torch.no_grad():
            returned: Tensor = model(row)
            return returned
    except (RuntimeError, ValueError, IndexError) as error:
        if lacks_memory(error):
            raise
        reason = str(error).partition("\n")[0]
        path, module, shape = entered[-1] if entered else ("", model, None)
        where = f"layer {path}, {module}, was given {shape}: " if path and shape and not list(module.children()) else ""
        where = where or (f"in {path} ({type(module).__name__}): " if path else "")
        kind = "rows" if row.is_floating_point() else "rows of token ids"
        raise ConfigError(
            f"model={name} cannot take {kind} of shape {tuple(row.shape[1:])}: {where}{reason}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
