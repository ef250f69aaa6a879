"""A hand-written loop under Optuna's grid sampler, as its users write one, with as many threads of trials as workers.

python -m benchmarks.peers.sweep_optuna DIRECTORY --lr 1e-3,1e-2 --hidden 32,64 [--epochs 10] [--steps 1] [--jobs 2]
"""

import argparse
import logging
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.sweep_digits import BATCH, EVAL_BATCH, Rows, digits, network, report


def train(rows: tuple[Rows, Rows, Rows], rate: float, hidden: int, epochs: int, steps: int) -> tuple[float, float]:
    """Train one trial; return the loss and accuracy of its best epoch."""
    torch.manual_seed(0)
    model = network(hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    loader = DataLoader(TensorDataset(*rows[0]), batch_size=BATCH, shuffle=True)
    best = (float("inf"), 0.0)
    for _ in range(epochs):
        model.train()
        for inputs, targets in islice(loader, steps):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        best = min(best, evaluate(model, rows[1]))
    return best


@torch.no_grad()
def evaluate(model: nn.Module, rows: Rows) -> tuple[float, float]:
    """Return the mean loss and the accuracy."""
    model.eval()
    loss, hits = 0.0, 0.0
    for inputs, targets in DataLoader(TensorDataset(*rows), batch_size=EVAL_BATCH):
        outputs = model(inputs)
        loss += float(functional.cross_entropy(outputs, targets, reduction="sum"))
        hits += float((outputs.argmax(1) == targets).sum())
    return loss / len(rows[1]), hits / len(rows[1])


def main() -> None:
    """Sweep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--lr", type=lambda text: [float(each) for each in text.split(",")])
    parser.add_argument("--hidden", type=lambda text: [int(each) for each in text.split(",")])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--alone", type=int, help="train one trial so often, without Optuna")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = digits()
    if given.alone is not None:
        for _ in range(given.alone):
            train(rows, given.lr[0], given.hidden[0], given.epochs, given.steps)
        return
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)

    def objective(trial: "optuna.Trial") -> float:
        rate, hidden = trial.suggest_categorical("lr", given.lr), trial.suggest_categorical("hidden", given.hidden)
        loss, accuracy = train(rows, rate, hidden, given.epochs, given.steps)
        place = given.directory / str(trial.number)
        place.mkdir(parents=True)
        report(place, loss, accuracy)
        return loss

    sampler = optuna.samplers.GridSampler({"lr": given.lr, "hidden": given.hidden}, seed=0)
    optuna.create_study(sampler=sampler).optimize(
        objective, n_trials=len(given.lr) * len(given.hidden), n_jobs=given.jobs
    )


if __name__ == "__main__":
    main()
