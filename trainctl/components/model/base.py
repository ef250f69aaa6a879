"""The parts of models: activations, norm layers, dropout, settings per layer, and the check of shapes."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from trainctl.errors import ConfigError, lacks_memory
from trainctl.wording import amount

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
# These are monotonic: max pooling may come before them, with bit-identical results and gradients.
RISING = frozenset({"relu", "leaky_relu", "identity"})
MOST_GROUPS, SMALLEST_GROUP = 32, 4  # of group norm: the paper's number of groups; channels needed for a statistic

Setting = TypeVar("Setting")


class Reconstruction(nn.Module):
    """A model that learns to reproduce its input: outputs have the shape of inputs.

    Args:
        body: The model itself, ``(N, *shape) -> (N, *shape)``.
        code: Name of the part whose output is the code of a row, such as ``body.3``; empty: the narrowest layer's.
    """

    def __init__(self, body: nn.Module, code: str = "") -> None:
        super().__init__()
        self.body, self.code = body, code

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the reconstruction of a batch."""
        reconstruction: Tensor = self.body(inputs)
        return reconstruction

    def parts(self) -> list[nn.Module]:
        """Return modules whose chain has the same outputs."""
        return [self.body]


@dataclass(frozen=True)
class Started:
    """How a part of a model starts.

    Args:
        layer: Its path in the model.
        state: Whether its weights were taken as they are, taken and resized, or are new.
        why: From where, or why not.
    """

    layer: str
    state: Literal["taken", "resized", "new"]
    why: str


class Pretrained(nn.Module, abc.ABC):
    """A model that may start from weights that others have trained.

    ``facts`` is what `run.json` records of them; empty if none were loaded.
    """

    facts: Mapping[str, str] = MappingProxyType({})

    @property
    @abc.abstractmethod
    def wants_weights(self) -> bool:
        """Whether there are weights to load."""

    @property
    @abc.abstractmethod
    def classes(self) -> Sequence[str]:
        """The classes of the output layer, if that comes with the weights; empty if it does not, or they are unknown."""

    @abc.abstractmethod
    def load(self) -> list[Started]:
        """Load the weights in place of those of a new model; return how each part starts.

        Raises:
            TrainctlError: If they cannot be had, or are those of another model.
        """


class Chain(nn.Module):
    """Parts of a model, one after the other; each receives all that the one before returns.

    A model that no exporter can convert has a method ``exportable()``, which returns a module with the same outputs that
    can be converted. A model that can be cut, and is not an ``nn.Sequential``, has a method ``parts()``, which returns
    modules whose chain has the same outputs. What passes from one part to the next are tensors whose first dimension is
    the batch.

    Args:
        parts: The parts, in their order; each returns a tensor or a tuple of tensors.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.chain = nn.ModuleList(parts)

    def forward(self, *values: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return what the last part returns."""
        for part in self.chain:
            returned = part(*values)
            values = returned if isinstance(returned, tuple) else (returned,)
        return values if len(values) > 1 else values[0]

    def parts(self) -> list[nn.Module]:
        """Return the parts."""
        return list(self.chain)


class ByteDropout(nn.Dropout):
    """Dropout that draws its mask on a CPU as integers of few bits instead of one float for each value.

    A value is kept if an integer of 8, 16 or 32 bits is not below ``p`` times the number of integers. The number of
    bits is the smallest that expresses ``p`` exactly, or 32, whose error is below 3e-10 (less than that of a float).
    The distribution equals that of PyTorch's dropout. A layer must not be used by several threads: its calls draw into
    the same memory. Copies of the layer have their own memory, and checkpoints do not contain it.

    Source: N. Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)
        # Memory that every call draws into, so that no call has to ask for some.
        self.draws = torch.empty(0, dtype=torch.int64)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the kept values, divided by the probability of being kept, and zeros for all others."""
        if not (self.training and self.p) or inputs.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(inputs)
        return inputs * self.kept(inputs)

    def kept(self, values: Tensor) -> Tensor:
        """Return a mask with the shape, layout and type of values: 0 with probability ``p``, otherwise 1 / (1 - p)."""
        bits = next((bits for bits in (8, 16) if (self.p * 2**bits).is_integer()), 32)
        words = -(-values.numel() * bits // 64)
        if len(self.draws) < words:
            self.draws = torch.from_numpy(np.empty(words, np.int64))  # no kernel, which a recording would repeat
        numbers = self.draws[:words].random_(-(2**63), None).view(INTEGERS[bits])[: values.numel()]
        limit = min(round(self.p * 2**bits), 2**bits - 1) - 2 ** (bits - 1)
        numbers.ge_(limit)  # in place: a conversion to bool and then to float takes ten times as long
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
    """Return a list with the norm layer for values ``(N, width)``; empty for ``none``."""
    if norm == "batch":
        return [nn.BatchNorm1d(width)]
    if norm == "layer":
        return [nn.LayerNorm(width)]
    return [nn.GroupNorm(groups(width), width)] if norm == "group" else []


def norm_of_maps(norm: Norm, channels: int) -> list[nn.Module]:
    """Return a list with the norm layer for maps ``(N, channels, H, W)``; empty for ``none``.

    ``layer`` computes statistics over channels and pixels, with a factor and an offset for each channel. It is a group
    norm with one group, so that the weights do not depend on the image size.
    """
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "none":
        return []
    return [nn.GroupNorm(1 if norm == "layer" else groups(channels), channels)]


def groups(channels: int) -> int:
    """Return the number of groups of a group norm: the largest divisor up to 32 with at least four channels per group.

    Source: Y. Wu, K. He, Group normalization, ECCV 2018 (32 groups); fewer for narrow layers, because a group of one
    unit has no variance.

    >>> [groups(channels) for channels in (256, 64, 16, 12, 6, 3)]
    [32, 16, 4, 3, 1, 1]
    """
    most = min(MOST_GROUPS, channels // SMALLEST_GROUP)
    return next((count for count in range(most, 1, -1) if channels % count == 0), 1)


def per_layer(key: str, setting: Setting | list[Setting], count: int, layer: str, by: str) -> list[Setting]:
    """Return one value for each layer, from a single value or a list.

    Args:
        key: The parameter's name, for the message.
        setting: One value for all layers, or a list with one for each.
        count: The number of layers.
        layer: What a layer is called.
        by: The parameter that determines their number.

    Raises:
        ConfigError: If a list has a different length.
    """
    if not isinstance(setting, list):
        return [setting] * count
    if len(setting) != count:
        raise ConfigError(
            f"model.{key}=[{','.join(map(str, setting))}] has {amount(len(setting), 'entry')} for {amount(count, layer)} ({by}):"
            f" use one value for all, or a list of {count}"
        )
    return setting


def need(name: str, inputs: str, dimensions: int, input_shape: tuple[int, ...]) -> None:
    """Raise ConfigError unless samples have the number of dimensions that a model reads."""
    if len(input_shape) != dimensions:
        raise ConfigError(
            f"model={name} reads {inputs}; this data set's samples have shape {input_shape}: try model=mlp"
        )


def try_row(name: str, model: nn.Module, row: Tensor) -> Tensor:
    """Return the outputs of a model for one row, without gradients.

    Args:
        name: The model's name, for the message.
        model: The model, in evaluation mode.
        row: A batch of one row.

    Raises:
        ConfigError: If a layer cannot process its input; the message names the innermost layer and the shape.
    """
    entered: list[tuple[str, nn.Module, tuple[int, ...] | None]] = []

    def enter(path: str, module: nn.Module, inputs: tuple[object, ...]) -> None:
        entered.append((path, module, tuple(inputs[0].shape) if inputs and isinstance(inputs[0], Tensor) else None))

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
        where = f"layer {path}, {module}, received {shape}: " if path and shape and not list(module.children()) else ""
        where = where or (f"in {path} ({type(module).__name__}): " if path else "")
        kind = "samples" if row.is_floating_point() else "token ids"
        raise ConfigError(
            f"model={name} cannot process {kind} of shape {tuple(row.shape[1:])}: {where}{reason}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
