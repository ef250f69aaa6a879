"""The network of `recipe=mnist_cnn` in one or several processes: under DistributedDataParallel, Lightning or Accelerate.

    python -m torch.distributed.run --standalone --nproc-per-node 2 -m benchmarks.peers.several_processes PEER ROOT STEPS

Each is used as its documentation says: a DataLoader over tensors, batches of 128 in all, Adam, gloo, a thread for each
process. The first process prints, as JSON, the time for a step after the first ones and a digest of the last weights.
"""

import argparse
import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from torchvision import datasets

from benchmarks.peers.common import LEARNING_RATE
from benchmarks.peers.torch_parts import network

BATCH, WARM_UP = 128, 20


def rows(root: Path) -> TensorDataset:
    """Return the training images, as float32 from 0 to 1, and their classes."""
    found = datasets.MNIST(str(root), train=True)
    return TensorDataset(found.data.unsqueeze(1) / 255, found.targets)


def digest(model: nn.Module) -> str:
    """Return a digest of a network's weights."""
    found = hashlib.sha256()
    for _, value in sorted(model.state_dict().items()):
        found.update(value.detach().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:12]


def again(loader: DataLoader) -> Iterator[list[Tensor]]:  # type: ignore[type-arg]
    """Yield batches for ever; a sampler of DistributedDataParallel learns the epoch, as it has to."""
    for epoch in itertools.count():
        if isinstance(loader.sampler, DistributedSampler):
            loader.sampler.set_epoch(epoch)
        yield from loader


def by_hand(model: nn.Module, data: TensorDataset, size: int, steps: int) -> tuple[list[float], nn.Module]:
    """Train with DistributedDataParallel."""
    torch.distributed.init_process_group("gloo")
    wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.Adam(wrapped.parameters(), lr=LEARNING_RATE)
    loader, marks = DataLoader(data, BATCH // size, sampler=DistributedSampler(data), drop_last=True), []
    for inputs, targets in itertools.islice(again(loader), steps):
        marks.append(time.perf_counter())
        optimizer.zero_grad()
        functional.cross_entropy(wrapped(inputs), targets).backward()
        optimizer.step()
    torch.distributed.destroy_process_group()
    return marks, model


def accelerate(model: nn.Module, data: TensorDataset, size: int, steps: int) -> tuple[list[float], nn.Module]:
    """Train with Accelerate."""
    from accelerate import Accelerator

    accelerator, marks = Accelerator(cpu=True), list[float]()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loader = DataLoader(data, BATCH // size, shuffle=True, drop_last=True)
    wrapped, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for inputs, targets in itertools.islice(again(loader), steps):
        marks.append(time.perf_counter())
        optimizer.zero_grad()
        accelerator.backward(functional.cross_entropy(wrapped(inputs), targets))
        optimizer.step()
    accelerator.end_training()
    return marks, accelerator.unwrap_model(wrapped)


def lightning(model: nn.Module, data: TensorDataset, size: int, steps: int) -> tuple[list[float], nn.Module]:
    """Train with Lightning's Trainer."""
    from lightning import LightningModule, Trainer

    marks: list[float] = []

    class Classifier(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            marks.append(time.perf_counter())
            return functional.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    Trainer(
        accelerator="cpu", devices=size, strategy="ddp" if size > 1 else "auto", max_steps=steps, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ).fit(Classifier(), DataLoader(data, BATCH // size, shuffle=True, drop_last=True))  # fmt: skip
    return marks, model


PEERS = {"ddp": by_hand, "lightning": lightning, "accelerate": accelerate}


def main() -> None:
    """Train, and answer in the first process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("root", type=Path)
    parser.add_argument("steps", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    marks, model = PEERS[given.peer](network("cnn"), rows(given.root), int(os.environ["WORLD_SIZE"]), given.steps)
    if os.environ["RANK"] == "0":
        seconds = (marks[-1] - marks[WARM_UP]) / (len(marks) - 1 - WARM_UP)
        print("\n" + json.dumps({"milliseconds": 1000 * seconds, "digest": digest(model)}))


if __name__ == "__main__":
    main()
