"""A tiny real run: a linear model on random numbers, assembled by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.schemas import schema
from trainctl.components.average.base import Average
from trainctl.components.freeze.base import Freeze
from trainctl.components.loss.base import Loss
from trainctl.components.scale.base import Affine
from trainctl.components.schedule.base import Schedule
from trainctl.components.teacher.none import none as no_teacher
from trainctl.data.rows import SPLITS, Data, ResidentRows
from trainctl.machine.threads import ThreadChoice
from trainctl.run.freezer import Freezer
from trainctl.run.run import Evaluation, Plan, Run
from trainctl.run.state import TrainState
from trainctl.run.sums import Sums
from trainctl.settings.config import Checkpoint, Config, Distributed, Loop, Output, Split

CONF = Path(__file__).parents[2] / "conf" / "train.yaml"


def tiny_config(model: str, loop: dict[str, Any]) -> Config:
    tree = yaml.safe_load(CONF.read_text())
    parts = {"model": {"name": model}, "dataset": {"name": "digits"}, "teacher": {"name": "none"}}
    sections = {
        "split": Split(**tree["split"]),
        "checkpoint": Checkpoint(**tree["checkpoint"]),
        "distributed": Distributed(**tree["distributed"]),
        "output": Output(**tree["output"]),
    }
    own = {
        key: tree[key]
        for key in (
            "seed",
            "device",
            "precision",
            "threads",
            "processes",
            "monitor",
            "decay_norm_and_bias",
            "layer_decay",
            "head_lr_factor",
            "components",
        )
    }
    return Config(**own, **sections, loop=Loop(**tree["loop"] | {"epochs": 20} | loop), parts=parts, tree=tree)


def tiny_run(*, model: str = "mlp", **loop: Any) -> Run:
    """Return a run on rows of 3 x 4 numbers in 3 classes: 20 epochs of 40 steps; ``loop`` changes its knobs."""
    config = tiny_config(model, loop)
    generator = torch.Generator().manual_seed(0)
    sizes = dict(zip(SPLITS, (1200, 270, 1), strict=True))
    rows = {
        split: ResidentRows(
            torch.randn(size, 3, 4, generator=generator), torch.randint(3, (size,), generator=generator)
        )
        for split, size in sizes.items()
    }
    scale = Affine(torch.ones(1, 4), torch.zeros(1, 4))
    data = Data(rows, schema(input_shape=(3, 4), class_names=("a", "b", "c")), scale, None)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 100))
    device, loss = torch.device("cpu"), Loss(torch.nn.functional.cross_entropy, ("classification",))
    optimizer = torch.optim.SGD([{"params": list(module.parameters()), "initial_lr": 0.001}], lr=0.001)
    return Run(
        config=config,
        evaluation=Evaluation("classification", data, module, loss, device, "fp32", 1024),
        model=module,
        average=Average(module, lambda step, count: 0),
        augment=(),
        regularizers=(),
        optimizer=optimizer,
        scaler=torch.amp.GradScaler(enabled=False),
        schedule=Schedule(lambda step: 1.0),
        early_stopping=lambda state, value, epoch, seconds: state,
        plan=Plan(batch_size=32, steps_per_epoch=40, total_steps=800, eval_every=40),
        sums=Sums("classification", 1, None, device),
        state=TrainState(),
        threads=ThreadChoice(2),
        teacher=no_teacher(),
        taught=None,
        teacher_weight=torch.zeros(()),
        constraints=(),
        freezer=Freezer(module, Freeze(lambda step: 0)),
    )


@pytest.fixture(name="make_run")
def make_run_fixture() -> Callable[..., Run]:
    return tiny_run


@pytest.fixture
def run() -> Run:
    return tiny_run()


def row(epoch: float, loss: float = 0.5, **more: float) -> dict[str, float]:
    """Return an evaluation at an epoch of 40 steps."""
    return {
        "step": int(40 * epoch), "epoch": epoch, "seconds": 1.2, "lr": 0.001, "samples_per_second": 45120.4,
        "train/loss": loss / 2, "train/accuracy": 0.961, "val/loss": loss, "val/accuracy": 0.9519, **more,
    }  # fmt: skip


@pytest.fixture(name="row")
def row_fixture() -> Callable[..., dict[str, float]]:
    return row


@pytest.fixture
def summary() -> dict[str, Any]:
    return {
        "outcome": "finished", "reason": "completed all 20 epochs", "steps": 800, "epochs": 20.0, "seconds": 185.0,
        "samples_per_second": 45120.4, "parameters": 1300, "monitor": "val/loss",
        "best": {"step": 280, "epoch": 7.0, "value": 0.1234},
        "metrics": {"train/loss": 0.1, "val/loss": 0.1234, "test/loss": 0.2, "test/accuracy": 0.95},
    }  # fmt: skip
