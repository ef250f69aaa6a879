"""Recurrent network: plain, GRU or LSTM."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from trainctl.components.model.base import ByteDropout, Chain, Dropout, Norm, Width, norm_of_rows
from trainctl.errors import ConfigError

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
PADDING = 0  # the token id after the end of a text


class Recurrent(nn.Module):
    """A recurrent body and a linear head; an image ``(C, H, W)`` is read row by row, ``H`` steps of ``C * W`` numbers.

    Args:
        body: The recurrent layers.
        head: The layers that compute the outputs from the pooled state.
        pooling: ``last`` or ``mean``.
        embedding: The embedding of token ids; None for other inputs.
    """

    def __init__(self, body: nn.RNNBase, head: nn.Module, pooling: str, embedding: nn.Embedding | None = None) -> None:
        super().__init__()
        self.body, self.head, self.pooling = body, head, pooling
        self.embedding = embedding

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(N, outputs)`` for sequences ``(N, T, F)``, images ``(N, C, H, W)`` or token ids ``(N, T)``."""
        outputs: Tensor = self.head(self._rows(inputs) if self.embedding is None else self._tokens(inputs))
        return outputs

    def _rows(self, inputs: Tensor) -> Tensor:
        """Return the pooled states of sequences or images."""
        states, _ = self.body(as_sequence(inputs))
        return states.mean(1) if self.pooling == "mean" else self._ends(states, states[:, -1])

    def _tokens(self, ids: Tensor) -> Tensor:
        """Return the pooled states of texts; the padding after the last token is not read."""
        assert self.embedding is not None
        lengths = lengths_of(ids)
        packed = pack_padded_sequence(self.embedding(ids), lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.body(packed)[0], batch_first=True)  # zeros after the last token
        if self.pooling == "mean":
            return states.sum(1) / lengths[:, None]
        return self._ends(states, states[torch.arange(len(ids), device=ids.device), lengths - 1])

    def _ends(self, states: Tensor, last: Tensor) -> Tensor:
        """Return the last state of each direction; the backward direction ends at the first step."""
        half = self.body.hidden_size
        return torch.cat([last[:, :half], states[:, 0, half:]], dim=1)

    def exportable(self) -> nn.Module:
        """Return a model with the same outputs that needs no packing, which has no equal outside PyTorch."""
        return self if self.embedding is None else Chain(self.parts())

    def parts(self) -> list[nn.Module]:
        """Return modules whose chain has the same outputs without packing: a beginning, the layers, pooling, the head."""
        layers = [Layer(self.body, index) for index in range(self.body.num_layers)]
        return [Begin(self.embedding), *layers, Pool(self.pooling, self.body.hidden_size), self.head]


class Begin(nn.Module):
    """The input of the first recurrent layer.

    Args:
        embedding: The embedding of token ids; None for other inputs.
    """

    def __init__(self, embedding: nn.Embedding | None) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return a sequence ``(N, T, F)``; for token ids also the lengths ``(N,)``."""
        if self.embedding is None:
            return as_sequence(inputs)
        return self.embedding(inputs), lengths_of(inputs)


class Layer(nn.Module):
    """One layer of a recurrent body, which shares its weights; the backward direction begins at a text's last token.

    Args:
        body: The body.
        index: Which of its layers.
    """

    def __init__(self, body: nn.RNNBase, index: int) -> None:
        super().__init__()
        self.ahead = _direction(body, index, "")
        self.back = _direction(body, index, "_reverse") if body.bidirectional else None
        self.rounding = None if index else getattr(body, "input_range", None)  # of a body that computes with 8 bits

    def forward(self, values: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Return the states of each step ``(N, T, H)`` and the lengths; after its last token, those of a text are void."""
        values = values if self.rounding is None else self.rounding(values)
        states, _ = self.ahead(values)
        if self.back is not None:
            backward, _ = self.back(_turned(values, lengths))
            states = torch.cat([states, _turned(backward, lengths)], dim=2)
        return states if lengths is None else (states, lengths)


class Pool(nn.Module):
    """The last state of each direction, or the mean state.

    Args:
        pooling: ``last`` or ``mean``.
        width: Width of the forward direction; the rest is the backward direction, which ends at the first step.
    """

    def __init__(self, pooling: str, width: int) -> None:
        super().__init__()
        self.pooling, self.width = pooling, width

    def forward(self, states: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the pooled states ``(N, H)``."""
        if self.pooling == "mean":
            if lengths is None:
                return states.mean(1)
            read = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
            return torch.where(read[:, :, None], states, 0.0).sum(1) / lengths[:, None]
        last = states[:, -1:] if lengths is None else states.gather(1, _as_index(lengths[:, None] - 1, states))
        return torch.cat([last[:, 0, : self.width], states[:, 0, self.width :]], dim=1)


def as_sequence(inputs: Tensor) -> Tensor:
    """Return sequences ``(N, T, F)`` as they are, and images ``(N, C, H, W)`` as ``H`` steps of ``C * W`` numbers."""
    return inputs.transpose(1, 2).flatten(2) if inputs.ndim == 4 else inputs


def lengths_of(ids: Tensor) -> Tensor:
    """Return the lengths of texts ``(N,)``, without the padding after the last token.

    A text that consists only of padding is read as one step of padding, whose embedding is zeros.
    """
    positions = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    return (positions * (ids != PADDING)).amax(1).clamp(min=1)


def _direction(body: nn.RNNBase, index: int, suffix: str) -> nn.RNNBase:
    """Return one direction of one layer of a body, with the same parameters."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    found = {name: getattr(body, f"{name}_l{index}{suffix}") for name in names}
    kind = {"nonlinearity": body.nonlinearity} if isinstance(body, nn.RNN) else {}
    cell = next(cell for cell in (nn.LSTM, nn.GRU, nn.RNN) if isinstance(body, cell))
    layer = cell(found["weight_ih"].shape[1], body.hidden_size, batch_first=True, **kind)
    for name, parameter in found.items():
        setattr(layer, f"{name}_l0", parameter)
    return layer.train(body.training)


def _turned(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Return sequences ``(N, T, F)`` in reverse order; of a text only the tokens, and its padding remains at the end."""
    if lengths is None:
        return values.flip(1)
    positions = torch.arange(values.shape[1], device=values.device)
    order = torch.where(positions < lengths[:, None], lengths[:, None] - 1 - positions, positions)
    return values.gather(1, _as_index(order, values))


def _as_index(steps: Tensor, values: Tensor) -> Tensor:
    """Return numbers of steps ``(N, S)`` as the index that gathers whole steps of ``(N, T, F)``."""
    return steps[:, :, None].expand(-1, -1, values.shape[2])


def rnn(
    *,
    cell: Literal["rnn", "gru", "lstm"],
    activation: Literal["tanh", "relu"],
    hidden_size: Width,
    layers: Width,
    bidirectional: bool,
    pooling: Literal["last", "mean"],
    embedding_size: Width,
    norm: Norm,
    dropout: Dropout,
    input_shape: tuple[int, ...],
    outputs: int,
    vocabulary_size: int,
) -> nn.Module:
    r"""Return a recurrent network: layers over a sequence, then a linear layer on the last or mean state.

    .. math:: h_t = \phi(W x_t + U h_{t-1} + b)

    for ``cell=rnn``. Inputs are sequences ``(N, T, F)``, images ``(N, C, H, W)`` read row by row, or token ids
    ``(N, T)`` as int64. Id 0 is padding after the end of a text; it is not read, so that the outputs do not depend on
    the amount of padding. Outputs are ``(N, outputs)``.

    Args:
        cell: ``rnn`` (Elman), ``gru`` or ``lstm``.
        activation: :math:`\phi` of ``cell=rnn``; the gated cells always use ``tanh``.
        hidden_size: Width of the state.
        layers: Number of stacked recurrent layers.
        bidirectional: Whether to read in both directions, each with its own state.
        pooling: Input of the output layer: the ``last`` state or the ``mean`` over time.
        embedding_size: Width of a token's embedding; unused for other inputs.
        norm: Norm of the input of the output layer.
        dropout: Fraction of the state dropped between layers and before the output [1].
        input_shape: ``(T, F)``, ``(C, H, W)``, or ``(T,)`` for token ids. Supplied by ``assemble``.
        outputs: Number of outputs per sample. Supplied by ``assemble``.
        vocabulary_size: Number of token ids, including padding; 0 for other inputs. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not sequences, images or token ids, or an activation does not suit the cell.

    Source: J. Elman, Finding structure in time, 1990; S. Hochreiter, J. Schmidhuber, Long short-term memory,
    1997; K. Cho et al., 2014 (GRU); M. Schuster, K. Paliwal, Bidirectional recurrent neural networks, 1997.
    """
    if len(input_shape) != 1 if vocabulary_size else len(input_shape) not in (2, 3):
        raise ConfigError(
            f"model=rnn reads sequences or images; this data set's samples have shape {input_shape}: try model=mlp"
        )
    if activation != "tanh" and cell != "rnn":
        raise ConfigError(f"model.activation={activation} is only for model.cell=rnn; {cell} always uses tanh")
    features = math.prod(input_shape) // input_shape[-2] if len(input_shape) > 1 else embedding_size
    embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=PADDING) if vocabulary_size else None
    body = CELLS[cell](
        features,
        hidden_size,
        layers,
        batch_first=True,
        bidirectional=bidirectional,
        dropout=dropout if layers > 1 else 0.0,
        **({"nonlinearity": activation} if cell == "rnn" else {}),
    )
    width = hidden_size * (2 if bidirectional else 1)
    head = [*norm_of_rows(norm, width), *([ByteDropout(dropout)] if dropout else []), nn.Linear(width, outputs)]
    return Recurrent(body, nn.Sequential(*head) if len(head) > 1 else head[0], pooling, embedding)
