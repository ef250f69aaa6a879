"""What all peers share: the workloads, the data as files and as arrays, the command line, and the answer."""

import argparse
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np  # run.py imports this module and has to stay small: see `measure` there

VAL_FRACTION = 0.15  # of the training files; conf/train.yaml has the same
EVAL_BATCH = 1000  # rows at once in evaluation, as in PyTorch's MNIST example
LEARNING_RATE = 1e-3  # of Adam, with eps 1e-8
MOST_ROWS = {"mnist": 60_000, "cifar": 10_000}  # training rows, validation among them; a row of CIFAR's is slow
CIFAR = tuple(f"data_batch_{part}" for part in range(1, 6))


@dataclass(frozen=True)
class Workload:
    """What everybody trains.

    Args:
        title: What it is, for the report.
        overrides: What makes trainctl train it.
        batch: Rows a step.
        parameters: Trainable parameters.
        epochs: Epochs by which seconds per epoch are measured, if not said otherwise.
        guess: Seconds for an epoch of all rows of trainctl and the four peers together, on two cores.
        data: ``mnist`` or ``cifar``.
        clip_norm: Largest norm of the gradient.
        score: ``accuracy``, or ``mse`` where the input is to be reproduced.
        keras_parameters: Where Keras' own layer has another number of them.
    """

    title: str
    overrides: tuple[str, ...]
    batch: int
    parameters: int
    epochs: int
    guess: float
    data: str = "mnist"
    clip_norm: float | None = None
    score: str = "accuracy"
    keras_parameters: int | None = None


WORKLOADS = {
    "cnn": Workload(
        "CNN 32-64-128, 3x3, dropout, batch 128", ("recipe=mnist_cnn",), batch=128, parameters=225_034, epochs=2, guess=85
    ),
    "mlp": Workload(
        "MLP 784-128-10, batch 32", ("recipe=mnist_mlp_128",), batch=32, parameters=101_770, epochs=3, guess=35
    ),
    "mlp2": Workload(
        "MLP 784-64-64-10, batch 32", ("recipe=mnist_mlp_64x64",), batch=32, parameters=55_050, epochs=3, guess=38
    ),
    # PyTorch adds two vectors of biases in each gate, Keras one: 4 * 128 parameters fewer for the same function.
    "lstm": Workload(
        "LSTM over 28 rows, 128 wide, batch 128, clipped to a norm of 1",
        ("recipe=mnist_rnn",),
        batch=128,
        parameters=82_186,
        epochs=2,
        guess=85,
        clip_norm=1.0,
        keras_parameters=81_674,
    ),
    "autoencoder": Workload(
        "autoencoder 784-128-32-128-784, batch 128",
        (
            "dataset=mnist", "model=autoencoder", "model.hidden=[128]", "model.bottleneck=32", "scale=minmax",
            "optimizer=adam", "loop.batch_size=128",
        ),
        batch=128,
        parameters=209_968,
        epochs=3,
        guess=20,
        score="mse",
    ),
    "resnet": Workload(
        "ResNet-8 on 3x32x32, shortcut B, batch 128",
        (
            "dataset=cifar10", "model=resnet", "model.depth=8", "model.shortcut=B", "scale=minmax", "optimizer=adam",
            "loop.batch_size=128",
        ),
        batch=128,
        parameters=78_042,
        epochs=3,
        guess=40,
        data="cifar",
    ),
}  # fmt: skip


def held_out(rows: int) -> int:
    """Return how many rows of the training files are for validation; trainctl has as many.

    >>> held_out(60_000)
    9000
    """
    return round(VAL_FRACTION * rows)


def read(root: Path, data: str) -> "tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]":
    """Return training images and labels, test images and labels: bytes, ``(N, 28, 28)`` or ``(N, 32, 32, 3)``."""
    import numpy as np

    if data == "cifar":
        batches = [
            pickle.loads((root / "cifar-10-batches-py" / name).read_bytes(), encoding="latin1")  # noqa: S301 - our own
            for name in (*CIFAR, "test_batch")
        ]
        images = [np.asarray(batch["data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for batch in batches]
        labels = [np.asarray(batch["labels"], dtype=np.uint8) for batch in batches]
        return np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1]

    def idx(part: str, kind: str, header: int) -> np.ndarray:
        return np.fromfile(root / "MNIST" / "raw" / f"{part}-{kind}-ubyte", dtype=np.uint8, offset=header)

    train, test = (idx(part, "images-idx3", 16).reshape(-1, 28, 28) for part in ("train", "t10k"))
    return train, idx("train", "labels-idx1", 8), test, idx("t10k", "labels-idx1", 8)


def arguments() -> argparse.Namespace:
    """Read a peer's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("root", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


def per_epoch(marks: Sequence[float]) -> dict[str, float]:
    """Return the seconds of the first epoch and the mean of the later ones, from times at the start and each epoch's end.

    The first compiles, records and fills caches; where it is the only one, it stands for all.

    >>> per_epoch([0.0, 5.0, 7.0, 8.0])
    {'first_epoch': 5.0, 'seconds_per_epoch': 1.5}
    >>> per_epoch([1.0, 3.0])
    {'first_epoch': 2.0, 'seconds_per_epoch': 2.0}
    """
    first, later = marks[1] - marks[0], len(marks) - 2
    return {"first_epoch": first, "seconds_per_epoch": (marks[-1] - marks[1]) / later if later else first}


def answer(*, marks: Sequence[float], score: float, parameters: int) -> None:
    """Print what was measured, as one line of JSON.

    Args:
        marks: Times at the start of training and at the end of each epoch with its validation [s].
        score: Test accuracy, or mean squared error of a reconstruction.
        parameters: Trainable ones.
    """
    print("\n" + json.dumps(per_epoch(marks) | {"score": score, "parameters": parameters}))
