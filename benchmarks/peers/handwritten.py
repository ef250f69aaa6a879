"""The loop that people write by hand: DataLoader, torchvision transforms, Adam; as in PyTorch's own MNIST example."""

import time

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.peers.common import LEARNING_RATE, WORKLOADS, answer, arguments
from benchmarks.peers.torch_parts import loaders, network

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main() -> None:
    """Train and test."""
    given = arguments()
    workload = WORKLOADS[given.workload]
    if given.threads:
        torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    train_loader, val_loader, test_loader = loaders(workload, given.root)
    model = network(given.workload).to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    marks = [time.perf_counter()]
    for _ in range(given.epochs):
        train(model, train_loader, optimizer, workload.score, workload.clip_norm)
        test(model, val_loader, workload.score)
        marks.append(time.perf_counter())
    answer(
        marks=marks,
        score=test(model, test_loader, workload.score),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def train(
    model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer, score: str, clip: float | None
) -> None:
    """Train for one epoch."""
    model.train()
    for data, target in loader:
        data, target = data.to(DEVICE), target.to(DEVICE)
        optimizer.zero_grad()
        loss = loss_of(model(data), data, target, score)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()


@torch.no_grad()
def test(model: nn.Module, loader: DataLoader, score: str) -> float:
    """Return the accuracy, or the mean squared error of a reconstruction."""
    model.eval()
    loss, hits = 0.0, 0
    for data, target in loader:
        data, target = data.to(DEVICE), target.to(DEVICE)
        output = model(data)
        loss += loss_of(output, data, target, score).item() * len(data)
        if score == "accuracy":
            hits += output.argmax(dim=1).eq(target).sum().item()
    return (hits if score == "accuracy" else loss) / len(loader.dataset)


def loss_of(output: Tensor, data: Tensor, target: Tensor, score: str) -> Tensor:
    """Return the mean loss of a batch."""
    return functional.cross_entropy(output, target) if score == "accuracy" else functional.mse_loss(output, data)


if __name__ == "__main__":
    main()
