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
PADDING = 0  # the token id that fills up a row


class Recurrent(nn.Module):
    """A recurrent body and a linear head; an image ``(C, H, W)`` is read row by row, ``H`` steps of ``C * W`` numbers.

    Args:
        body: The recurrent layers.
        head: What turns the pooled state into outputs.
        pooling: ``last`` or ``mean``.
        embedding: For token ids, what turns them into vectors; else None.
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
        """Return the pooled states of rows that end at their last token: the padding behind it is not read."""
        assert self.embedding is not None
        places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        # A row of nothing but padding is read as one step of it, the embedding's zeros.
        lengths = (places * (ids != PADDING)).amax(1).clamp(min=1)
        packed = pack_padded_sequence(self.embedding(ids), lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.body(packed)[0], batch_first=True)  # zeros behind the last token
        if self.pooling == "mean":
            return states.sum(1) / lengths[:, None]
        return self._ends(states, states[torch.arange(len(ids), device=ids.device), lengths - 1])

    def _ends(self, states: Tensor, last: Tensor) -> Tensor:
        """Return each direction's last state: the backward one has read everything when it arrives at the first step."""
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
    r"""Return recurrent layers over a sequence, and a linear layer on the last state or the mean of all.

    .. math:: h_t = \phi(W x_t + U h_{t-1} + b)

    for ``cell=rnn``. Inputs are sequences ``(N, T, F)``, images ``(N, C, H, W)`` read row by row, or token ids
    ``(N, T)`` as int64, of which 0 is padding at a row's end: it is not read, so that the outputs do not depend on
    how far rows are filled up. Outputs are ``(N, outputs)``.

    Args:
        cell: ``rnn`` (Elman), ``gru`` or ``lstm``.
        activation: :math:`\phi` of ``cell=rnn``; the gated cells have ``tanh`` built in.
        hidden_size: Width of the state.
        layers: Recurrent layers on top of each other.
        bidirectional: Whether to read in both directions, with a state for each.
        pooling: What the output layer sees: the ``last`` state or the ``mean`` over time.
        embedding_size: Width of a token's vector; unused for other rows.
        norm: Norm of what the output layer sees.
        dropout: Share of the state dropped between layers and before the output [1].
        input_shape: ``(T, F)``, ``(C, H, W)``, or ``(T,)`` for token ids. Supplied by ``assemble``.
        outputs: Numbers to return for a row. Supplied by ``assemble``.
        vocabulary_size: How many token ids there are, padding among them; 0 for other rows. Supplied by ``assemble``.

    Raises:
        ConfigError: If rows are neither sequences nor images nor token ids, or an activation does not fit the cell.

    Source: J. Elman, Finding structure in time, 1990; S. Hochreiter, J. Schmidhuber, Long short-term memory,
    1997; K. Cho et al., 2014 (GRU); M. Schuster, K. Paliwal, Bidirectional recurrent neural networks, 1997.
    """
    if len(input_shape) != 1 if vocabulary_size else len(input_shape) not in (2, 3):
        raise ConfigError(
            f"model=rnn reads sequences or images; this data set's rows have shape {input_shape}: try model=mlp"
        )
    if activation != "tanh" and cell != "rnn":
        raise ConfigError(f"model.activation={activation} is for model.cell=rnn; {cell} has tanh built in")
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
