"""What the hand-written loop and Lightning share: torchvision's data sets in DataLoaders, and the networks."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from benchmarks.peers.common import EVAL_BATCH, Workload, held_out


class Cifar10(datasets.CIFAR10):
    """torchvision's, for a stand-in's files too, whose checksums differ."""

    def _check_integrity(self) -> bool:
        return True

    def _load_meta(self) -> None:
        pass


def loaders(workload: Workload, root: Path) -> tuple[DataLoader, DataLoader, DataLoader]:  # type: ignore[type-arg]
    """Return the training, validation and test rows, as PyTorch's MNIST example loads them."""
    kind = Cifar10 if workload.data == "cifar" else datasets.MNIST
    transform = transforms.ToTensor()
    train, test = (kind(str(root), train=part, transform=transform) for part in (True, False))
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).tolist()
    held = held_out(len(rows))
    return (
        DataLoader(Subset(train, rows[held:]), batch_size=workload.batch, shuffle=True),
        DataLoader(Subset(train, rows[:held]), batch_size=EVAL_BATCH),
        DataLoader(test, batch_size=EVAL_BATCH),
    )


class Lstm(nn.Module):
    """Reads an image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LSTM(28, 128, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.body(images.squeeze(1))
        return self.head(states[:, -1])


class Block(nn.Module):
    """Two convolutions, and a shortcut around them."""

    def __init__(self, before: int, filters: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, filters, 3, stride, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters),
        )  # fmt: skip
        self.shortcut = nn.Sequential()
        if stride != 1 or before != filters:
            self.shortcut = nn.Sequential(nn.Conv2d(before, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, maps: Tensor) -> Tensor:
        return nn.functional.relu(self.body(maps) + self.shortcut(maps))


def network(name: str) -> nn.Module:
    """Return a workload's network."""
    if name == "cnn":
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
        )  # fmt: skip
    if name == "lstm":
        return Lstm()
    if name == "resnet":
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
        )  # fmt: skip
    if name == "autoencoder":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32),
            nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 784), nn.Unflatten(1, (1, 28, 28)),
        )  # fmt: skip
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )  # fmt: skip
