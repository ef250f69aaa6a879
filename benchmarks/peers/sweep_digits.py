"""What the peers of a sweep share: the digits, the network, and how its trials are varied."""

import json
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

BATCH = 32
EVAL_BATCH = 1000
FRACTION = 0.15  # of all rows, for validation and for test; conf/train.yaml has the same
Rows = tuple[Tensor, Tensor]


def digits() -> tuple[Rows, Rows, Rows]:
    """Return the rows for training, validation and test, standardised by the first."""
    source = load_digits()
    order = torch.randperm(len(source.target), generator=torch.Generator().manual_seed(0))
    inputs = torch.tensor(source.data, dtype=torch.float32)[order]
    targets = torch.tensor(source.target)[order]
    held = round(FRACTION * len(order))
    train, val, test = slice(2 * held, None), slice(0, held), slice(held, 2 * held)
    inputs = (inputs - inputs[train].mean()) / inputs[train].std()
    return tuple((inputs[part], targets[part]) for part in (train, val, test))  # type: ignore[return-value]


def network(hidden: int) -> nn.Module:
    """Return the network of a trial."""
    return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def report(directory: Path, val_loss: float, val_accuracy: float) -> None:
    """Write the result of a trial."""
    (directory / "result.json").write_text(json.dumps({"val/loss": val_loss, "val/accuracy": val_accuracy}))
