"""Recurrent network: plain, GRU or LSTM."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from trainctl.errors import ConfigError
from trainctl.model.base import Dropout, Width

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Recurrent(nn.Module):
    """A recurrent body and a linear head; an image ``(C, H, W)`` is read row by row, ``H`` steps of ``C * W`` numbers."""

    def __init__(self, body: nn.RNNBase, head: nn.Module, pooling: str) -> None:
        super().__init__()
        self.body, self.head, self.pooling = body, head, pooling

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(N, outputs)`` for sequences ``(N, T, F)`` or images ``(N, C, H, W)``."""
        if inputs.ndim == 4:
            inputs = inputs.transpose(1, 2).flatten(2)
        states, _ = self.body(inputs)
        if self.pooling == "mean":
            summary = states.mean(1)
        else:
            half = self.body.hidden_size
            # The backward direction has read everything when it arrives at the first step.
            summary = torch.cat([states[:, -1, :half], states[:, 0, half:]], dim=1)
        outputs: Tensor = self.head(summary)
        return outputs


def rnn(
    *,
    cell: Literal["rnn", "gru", "lstm"],
    hidden_size: Width,
    layers: Width,
    bidirectional: bool,
    pooling: Literal["last", "mean"],
    dropout: Dropout,
    input_shape: tuple[int, ...],
    outputs: int,
) -> nn.Module:
    """Return recurrent layers over a sequence, and a linear layer on the last state or the mean of all.

    Inputs are sequences ``(N, T, F)``, or images ``(N, C, H, W)`` read row by row; outputs are ``(N, outputs)``.

    Args:
        cell: ``rnn`` (Elman, tanh), ``gru`` or ``lstm``.
        hidden_size: Width of the state.
        layers: Recurrent layers on top of each other.
        bidirectional: Whether to read in both directions, with a state for each.
        pooling: What the output layer sees: the ``last`` state or the ``mean`` over time.
        dropout: Share of the state dropped between layers and before the output [1].
        input_shape: ``(T, F)`` or ``(C, H, W)``. Supplied by ``assemble``.
        outputs: Numbers to return for a row. Supplied by ``assemble``.

    Raises:
        ConfigError: If rows are neither sequences nor images.

    Source: J. Elman, Finding structure in time, 1990; S. Hochreiter, J. Schmidhuber, Long short-term memory,
    1997; K. Cho et al., 2014 (GRU).
    """
    if len(input_shape) not in (2, 3):
        raise ConfigError(
            f"model=rnn reads sequences or images; this data set's rows have shape {input_shape}: try model=mlp"
        )
    features = input_shape[1] if len(input_shape) == 2 else input_shape[0] * input_shape[2]
    body = CELLS[cell](
        features,
        hidden_size,
        layers,
        batch_first=True,
        bidirectional=bidirectional,
        dropout=dropout if layers > 1 else 0.0,
    )
    head = nn.Linear(hidden_size * (2 if bidirectional else 1), outputs)
    return Recurrent(body, nn.Sequential(nn.Dropout(dropout), head) if dropout else head, pooling)
