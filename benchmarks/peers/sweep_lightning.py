"""A Lightning script under Hydra, as its users write one; `-m` sweeps it with Hydra's launcher.

python -m benchmarks.peers.sweep_lightning -m lr=1e-3,1e-2 hidden=32,64 [hydra/launcher=joblib]
"""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import lightning
import torch
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.sweep_digits import BATCH, EVAL_BATCH, digits, network, report


@dataclass
class Settings:
    """What varies, and for how long a trial is trained."""

    lr: float = 1e-3
    hidden: int = 64
    epochs: int = 10
    steps: int = -1


ConfigStore.instance().store(name="sweep", node=Settings)


class Classifier(lightning.LightningModule):
    """The network with its loss and metric."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.network, self.rate = network(settings.hidden), settings.lr
        self.best = (float("inf"), 0.0)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        inputs, targets = batch
        return functional.cross_entropy(self.network(inputs), targets)

    def validation_step(self, batch: Any, index: int) -> None:
        inputs, targets = batch
        outputs = self.network(inputs)
        self.log("val_loss", functional.cross_entropy(outputs, targets))
        self.log("val_accuracy", (outputs.argmax(1) == targets).float().mean())

    def on_validation_epoch_end(self) -> None:
        metrics = self.trainer.callback_metrics
        self.best = min(self.best, (float(metrics["val_loss"]), float(metrics["val_accuracy"])))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.rate)


@hydra.main(version_base="1.3", config_path=None, config_name="sweep")
def main(settings: Settings) -> None:
    """Train one trial."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    lightning.seed_everything(0)
    train, val, _ = digits()
    model = Classifier(settings)
    trainer = lightning.Trainer(
        max_epochs=settings.epochs, max_steps=settings.steps, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    loaders = (
        DataLoader(TensorDataset(*train), batch_size=BATCH, shuffle=True),
        DataLoader(TensorDataset(*val), EVAL_BATCH),
    )
    trainer.fit(model, *loaders)
    report(Path(HydraConfig.get().runtime.output_dir), *model.best)


if __name__ == "__main__":
    main()
