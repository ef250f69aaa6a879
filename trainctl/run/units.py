"""The units of a model: which entries of which tensors belong together, so that units can be permuted, added or removed.

A hidden unit (of a convolution: a channel) occurs in many tensors: as a row of the weights that compute it, in their
bias, in the norm after them, and as a column of the weights that read it. Whoever reorders, removes or adds the unit has
to do so everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainctl.components.model.airbench import Times
from trainctl.components.model.base import ACTIVATIONS, Norm, Reconstruction
from trainctl.components.model.resnet import Block, Pad
from trainctl.components.model.rnn import Recurrent
from trainctl.errors import ConfigError

# The settings of models that are widths: numbers of units, or factors of them.
WIDTHS = ("hidden", "channels", "hidden_size", "embedding_size", "bottleneck", "width")

# These compute each value of a unit from values of the same unit; the activations are not linear.
NONLINEAR = (*(kind for kind in ACTIVATIONS.values() if kind is not nn.Identity), nn.MaxPool2d)
LINEAR = (nn.Identity, nn.Dropout, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.ZeroPad2d, nn.Upsample, Times)
GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
Kind = Literal["rows", "maps", "flat", "states"]


@dataclass(frozen=True)
class Axis:
    """The entries that the units of a group have in one dimension of a tensor.

    Unit :math:`u` of :math:`n` has the entries ``start + b * n * repeat + u * repeat + r`` for all ``b < blocks`` and
    ``r < repeat``.

    Args:
        tensor: Name of the tensor in the model's state dict.
        dimension: The dimension.
        start: The first entry of the first unit.
        repeat: Consecutive entries of a unit: the pixels of a flattened map, otherwise 1.
        blocks: How often all units follow each other: the gates of a recurrent cell, otherwise 1.
    """

    tensor: str
    dimension: int
    start: int = 0
    repeat: int = 1
    blocks: int = 1

    def entries(self, count: int) -> Tensor:
        """Return the entries of each of ``count`` units ``(count, blocks * repeat)``.

        >>> Axis("weight", 1, start=4, repeat=2).entries(3).tolist()
        [[4, 5], [6, 7], [8, 9]]
        >>> Axis("weight", 0, blocks=2).entries(3).tolist()
        [[0, 3], [1, 4], [2, 5]]
        """
        within = torch.arange(self.blocks)[:, None] * count * self.repeat + torch.arange(self.repeat)
        return self.start + torch.arange(count)[:, None] * self.repeat + within.flatten()


@dataclass(frozen=True)
class Units:
    """A group of units that may be reordered without changing the model's outputs.

    Args:
        name: The layer that computes them; if several do, the first.
        count: How many there are.
        written: Where the tensors that compute a unit have it: rows of weights, biases, norm factors and statistics.
        read: Where the weights that read a unit have it: their columns.
        norm: The norm that follows. ``layer`` and ``group`` compute a statistic over several units; ``layer`` does so over
            all units of the layer, whichever group they belong to.
        blocks: For ``group``, the number of equal blocks of consecutive units that are normalised together; else 1. Units
            may be reordered within a block, and whole blocks with each other.
    """

    name: str
    count: int
    written: tuple[Axis, ...]
    read: tuple[Axis, ...]
    norm: Norm = "none"
    blocks: int = 1


@dataclass(frozen=True)
class Structure:
    """The units of a model.

    Args:
        groups: The groups of hidden units, in the order in which they are computed. A tensor may occur in several of them.
        outputs: The tensors that compute the outputs: in dimension 0, they have the outputs instead of units.
        linear_end: Whether the outputs are linear in these tensors.
    """

    groups: tuple[Units, ...]
    outputs: tuple[str, ...]
    linear_end: bool


def describe(model: nn.Module) -> Structure:
    """Return the units of a model that is a chain of layers, a residual network or a recurrent network.

    Raises:
        ConfigError: If it contains a layer whose units are not known; the message names the layer.
    """
    walk = _Walk()
    end = walk.through(model, "", _Stream())
    outputs = {id(segment.group) for segment in end.segments if segment.group}
    groups = [_frozen(group) for group in walk.groups if id(group) not in outputs]
    written = [axis.tensor for group in walk.groups if id(group) in outputs for axis in group.written]
    return Structure(tuple(groups), tuple(dict.fromkeys(written)), end.linear)


def sizes(structure: Structure) -> Mapping[str, int]:
    """Return the number of units of each group, by the group's name."""
    return {group.name: group.count for group in structure.groups}


class _Group:
    """A group of units while the model is walked through."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count
        self.written: list[Axis] = []
        self.read: list[Axis] = []
        self.norms: set[tuple[Norm, int]] = set()


def _frozen(group: _Group) -> Units:
    if len(group.norms) > 1:
        raise ConfigError(f"layer {group.name}: its units are normalised in different ways, which is not supported")
    norm, blocks = next(iter(group.norms), ("none", 1))
    return Units(group.name, group.count, tuple(group.written), tuple(group.read), norm, blocks)


@dataclass(frozen=True)
class _Segment:
    """Consecutive units of a layer that belong to the same group; without a group, they are inputs of the model."""

    group: _Group | None
    count: int


@dataclass(frozen=True)
class _Stream:
    """What a layer passes to the next one.

    Args:
        segments: The units; empty for the model's inputs.
        kind: ``flat`` for maps that were flattened, so that a unit has several consecutive values.
        linear: Whether the values are linear in the tensors that were passed last.
    """

    segments: tuple[_Segment, ...] = ()
    kind: Kind = "rows"
    linear: bool = True


class _Walk:
    """Walks through a model in the order of its computation, and collects its groups of units."""

    def __init__(self) -> None:
        self.groups: list[_Group] = []

    def through(self, module: nn.Module, path: str, stream: _Stream) -> _Stream:
        """Return what a module passes on."""
        if isinstance(module, nn.Sequential):
            for name, child in module.named_children():
                stream = self.through(child, f"{path}{name}.", stream)
            return stream
        if isinstance(module, Reconstruction):
            return self.through(module.body, f"{path}body.", stream)
        if isinstance(module, nn.Linear | nn.Conv2d):
            return self._layer(module, path, stream)
        if isinstance(module, _BatchNorm | nn.LayerNorm | nn.GroupNorm):
            return self._norm(module, path, stream)
        if isinstance(module, Block):
            return self._block(module, path, stream)
        if isinstance(module, Recurrent):
            return self._recurrent(module, path)
        if isinstance(module, nn.Flatten) and module.start_dim == 1 and module.end_dim == -1:
            return replace(stream, kind="flat" if stream.kind == "maps" else stream.kind)
        if isinstance(module, nn.Unflatten) and module.dim == 1:
            return self._unflatten(module, path, stream)
        if isinstance(module, LINEAR):
            return stream
        if isinstance(module, NONLINEAR):
            return replace(stream, linear=False)
        raise _unknown(module, path)

    def _new(self, name: str, count: int) -> _Group:
        self.groups.append(_Group(name.rstrip("."), count))
        return self.groups[-1]

    def _layer(self, module: nn.Linear | nn.Conv2d, path: str, stream: _Stream) -> _Stream:
        """Let a linear layer or a convolution read the stream; return the units that it computes."""
        maps = isinstance(module, nn.Conv2d)
        if (stream.segments and maps != (stream.kind == "maps")) or getattr(module, "groups", 1) != 1:
            raise _unknown(module, path)
        self._read(stream, f"{path}weight", module.weight.shape[1])
        group = self._new(path, module.weight.shape[0])
        names = ["weight"] + ["bias"] * (module.bias is not None)
        group.written += [Axis(f"{path}{name}", 0) for name in names]
        return _Stream((_Segment(group, group.count),), "maps" if maps else "rows")

    def _read(self, stream: _Stream, tensor: str, columns: int) -> None:
        """Note that a tensor reads the units of a stream in dimension 1."""
        units = sum(segment.count for segment in stream.segments)
        repeat, start = columns // max(units, 1), 0
        for segment in stream.segments:
            if segment.group:
                segment.group.read.append(Axis(tensor, 1, start, repeat))
            start += segment.count * repeat

    def _norm(self, module: nn.Module, path: str, stream: _Stream) -> _Stream:
        """Note the parameters and the statistics of a norm."""
        units = sum(segment.count for segment in stream.segments)
        size = units // module.num_groups if isinstance(module, nn.GroupNorm) else units
        norm: Norm = "batch" if isinstance(module, _BatchNorm) else "layer" if size == units else "group"
        start = 0
        for segment in stream.segments:
            if norm == "group" and (start % size or segment.count % size):
                raise ConfigError(f"layer {path.rstrip('.')}: a group of this norm contains units of several layers")
            if not segment.group or (isinstance(module, nn.LayerNorm) and module.weight.ndim != 1):
                raise _unknown(module, path)
            segment.group.norms.add((norm, segment.count // size if norm == "group" else 1))
            tensors = [name for name, tensor in module.state_dict().items() if tensor.ndim == 1]
            segment.group.written += [Axis(f"{path}{name}", 0, start) for name in tensors]
            start += segment.count
        if not stream.segments:
            raise _unknown(module, path)
        return replace(stream, linear=False)

    def _unflatten(self, module: nn.Unflatten, path: str, stream: _Stream) -> _Stream:
        """Turn the units of a layer into the pixels of maps; the maps are the units from now on."""
        shape = tuple(module.unflattened_size)
        if len(shape) != 3:  # the outputs of an autoencoder for rows or sequences
            return stream
        (segment,) = stream.segments if len(stream.segments) == 1 else (_Segment(None, 0),)
        if not segment.group or segment.group.norms or segment.group.read:
            raise _unknown(module, path)
        group, pixels = segment.group, shape[1] * shape[2]
        group.count = shape[0]
        group.written = [replace(axis, repeat=pixels) for axis in group.written]
        return replace(stream, segments=(_Segment(group, group.count),), kind="maps")

    def _block(self, module: Block, path: str, stream: _Stream) -> _Stream:
        """Add what the body of a residual block computes to the units of its shortcut."""
        if isinstance(module.shortcut, Pad):
            new = _Segment(self._new(f"{path}shortcut", module.shortcut.new_channels), module.shortcut.new_channels)
            around = replace(stream, segments=(*stream.segments, new))
        else:
            around = self.through(module.shortcut, f"{path}shortcut.", stream)
        body = self.through(module.body, f"{path}body.", stream)
        (computed,) = body.segments
        assert computed.group
        self.groups.remove(computed.group)
        start = 0
        for segment in around.segments:
            if not segment.group:
                raise _unknown(module, path)
            segment.group.written += [replace(axis, start=start) for axis in computed.group.written]
            for norm, blocks in computed.group.norms:
                size = computed.count // blocks
                if norm == "group" and (start % size or segment.count % size):
                    raise ConfigError(f"layer {path}body: a group of its norm contains units of several layers")
                segment.group.norms.add((norm, segment.count // size if norm == "group" else 1))
            start += segment.count
        return replace(around, linear=False)

    def _recurrent(self, module: Recurrent, path: str) -> _Stream:
        """Walk through the embedding, the layers of each direction, and the head of a recurrent network."""
        body, stream = module.body, _Stream()
        directions = ["", "_reverse"][: 1 + body.bidirectional]
        if module.embedding is not None:
            embedded = self._new(f"{path}embedding", module.embedding.embedding_dim)
            embedded.written.append(Axis(f"{path}embedding.weight", 1))
            stream = _Stream((_Segment(embedded, embedded.count),))
        for layer in range(body.num_layers):
            computed = []
            for direction in directions:
                suffix = f"_l{layer}{direction}"
                group = self._new(f"{path}body.{suffix[1:]}", body.hidden_size)
                self._read(stream, f"{path}body.weight_ih{suffix}", getattr(body, f"weight_ih{suffix}").shape[1])
                names = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * body.bias
                group.written += [Axis(f"{path}body.{name}{suffix}", 0, blocks=GATES[body.mode]) for name in names]
                group.read.append(Axis(f"{path}body.weight_hh{suffix}", 1))
                computed.append(_Segment(group, group.count))
            stream = _Stream(tuple(computed), "states", linear=False)
        return self.through(module.head, f"{path}head.", replace(stream, kind="rows"))


def _unknown(module: nn.Module, path: str) -> ConfigError:
    where = f"layer {path.rstrip('.')}" if path else "the model"
    return ConfigError(
        f"{where} ({type(module).__name__}): its hidden units are not known, so they cannot be matched, split or joined"
    )
