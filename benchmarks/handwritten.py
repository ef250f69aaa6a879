"""The loop that people write by hand: DataLoader, torchvision transforms, Adam; as in PyTorch's own MNIST example."""

import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms


def main(root: str, epochs: int) -> None:
    """Train the network of `recipe=mnist_cnn` and print seconds per epoch and the test accuracy."""
    torch.manual_seed(0)
    transform = transforms.ToTensor()
    train = datasets.MNIST(root, train=True, transform=transform)
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).tolist()
    held = int(0.15 * len(rows))
    loader = DataLoader(Subset(train, rows[held:]), batch_size=128, shuffle=True)
    val = DataLoader(Subset(train, rows[:held]), batch_size=1000)
    test = DataLoader(datasets.MNIST(root, train=False, transform=transform), batch_size=1000)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    start = time.perf_counter()
    for _ in range(epochs):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        accuracy(model, val)
    seconds = (time.perf_counter() - start) / epochs
    print(f"{seconds:.4f} {accuracy(model, test):.4f}")


@torch.no_grad()
def accuracy(model: nn.Module, loader: DataLoader) -> float:  # type: ignore[type-arg]
    """Return the share of right answers."""
    model.eval()
    hits = sum(int((model(inputs).argmax(1) == targets).sum()) for inputs, targets in loader)
    return hits / len(loader.dataset)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
