"""Recurrent network: plain, GRU or LSTM."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from trainctl.components.model.base import ByteDropout, Dropout, Norm, Width, norm_of_rows
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
        if inputs.ndim == 4:
            inputs = inputs.transpose(1, 2).flatten(2)
        states, _ = self.body(inputs)
        return states.mean(1) if self.pooling == "mean" else self._ends(states, states[:, -1])

    def _tokens(self, ids: Tensor) -> Tensor:
        """Return the pooled states of texts; the padding after the last token is not read."""
        assert self.embedding is not None
        positions = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        # A text that consists only of padding is read as one step of padding, whose embedding is zeros.
        lengths = (positions * (ids != PADDING)).amax(1).clamp(min=1)
        packed = pack_padded_sequence(self.embedding(ids), lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.body(packed)[0], batch_first=True)  # zeros after the last token
        if self.pooling == "mean":
            return states.sum(1) / lengths[:, None]
        return self._ends(states, states[torch.arange(len(ids), device=ids.device), lengths - 1])

    def _ends(self, states: Tensor, last: Tensor) -> Tensor:
        """Return the last state of each direction; the backward direction ends at the first step."""
        half = self.body.hidden_size
        return torch.cat([last[:, :half], states[:, 0, half:]], dim=1)


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
