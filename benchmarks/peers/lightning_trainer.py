"""The same network and DataLoaders under Lightning's Trainer, with its progress bar, without files."""

import time
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor
from torch.nn import functional

from benchmarks.peers.common import LEARNING_RATE, WORKLOADS, Workload, answer, arguments
from benchmarks.peers.torch_parts import loaders, network


class Classifier(lightning.LightningModule):
    """A workload's network with its loss and metric, as Lightning's users write it."""

    def __init__(self, name: str, workload: Workload) -> None:
        super().__init__()
        self.network, self.workload = network(name), workload

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def training_step(self, batch: Any, index: int) -> Tensor:
        loss, _ = self.loss_and_score(batch)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        loss, score = self.loss_and_score(batch)
        self.log("val_loss", loss)
        self.log("val_score", score, prog_bar=True)

    def test_step(self, batch: Any, index: int) -> None:
        self.log("test_score", self.loss_and_score(batch)[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    def loss_and_score(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the mean loss of a batch, and its accuracy, or again the loss of a reconstruction."""
        inputs, targets = batch
        outputs = self(inputs)
        if self.workload.score == "mse":
            loss = functional.mse_loss(outputs, inputs)
            return loss, loss
        return functional.cross_entropy(outputs, targets), (outputs.argmax(1) == targets).float().mean()


def main() -> None:
    """Train and test."""
    given = arguments()
    workload = WORKLOADS[given.workload]
    if given.threads:
        torch.set_num_threads(given.threads)
    lightning.seed_everything(given.seed)
    train, val, test = loaders(workload, given.root)
    model = Classifier(given.workload, workload)
    # Its defaults would also keep a checkpoint and a log each epoch.
    marks: list[float] = []
    trainer = lightning.Trainer(
        max_epochs=given.epochs,
        gradient_clip_val=workload.clip_norm,
        logger=False,
        enable_checkpointing=False,
        callbacks=[LambdaCallback(on_train_epoch_end=lambda *_: marks.append(time.perf_counter()))],  # after validation
    )
    marks.append(time.perf_counter())
    trainer.fit(model, train, val)
    answer(
        marks=marks,
        score=trainer.test(model, test, verbose=False)[0]["test_score"],
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


if __name__ == "__main__":
    main()
