"""The row with which a row is compared: attributions say what makes the difference between the two."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainctl.data.centre import subtract
from trainctl.data.rows import Rows
from trainctl.data.shown import Kind
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat import fingerprints
from trainctl.finished.open import Finished, Weights, configuration
from trainctl.finished.question import View
from trainctl.run.assemble import assemble_evaluation

# By what a row is, the first is the usual one.
CHOICES: dict[Kind, dict[str, str]] = {
    "table": {"mean": "the mean of each column in the training rows", "zero": "0 in each column"},
    "series": {"mean": "the mean of each column in the training rows, at every step", "zero": "0 in each column"},
    "image": {"black": "a black image", "mean": "an image of the mean colour of the training images"},
    "text": {
        "padding": "a text of the same length, whose tokens are all padding",
        "unknown": "a text of the same length, whose tokens are all unknown",
    },
}
OF_THE_DATA = ("loop.eval_batch_size", "dataset.root", "dataset.path", "dataset.download")  # where it is
IDS = {"padding": 0, "unknown": 1}


@dataclass(frozen=True)
class Baseline:
    """A baseline.

    Args:
        name: As it is typed.
        text: What it is, in words.
        row: A scaled row ``(1, *shape)``, or the embedding of a token ``(1, 1, E)``.
        notes: What the user is to know, a line each.
    """

    name: str
    text: str
    row: Tensor
    notes: tuple[str, ...] = ()

    def of(self, points: Tensor, rows: Tensor) -> Tensor:
        """Return the baseline of each point ``(N, *S)``; the padding after a text stays what it is.

        Args:
            points: Of the rows, as :class:`View` returns them.
            rows: The scaled rows, or token ids.
        """
        expanded = self.row.expand_as(points)
        return torch.where((rows == 0)[..., None], points, expanded) if self.name in IDS else expanded


def choose(run: Finished, weights: Weights, kind: Kind, name: str, seen: View, device: torch.device) -> Baseline:
    """Return the baseline of a run's rows.

    With ``scale=standard``, the scaled mean is 0. Otherwise it is computed from the training rows, which are read for it.

    Args:
        run: The run.
        weights: Its weights, with cleaning and scaling.
        kind: What a row is.
        name: The baseline's name; empty for the usual one.
        seen: The model.
        device: The model's device.

    Raises:
        ConfigError: If such rows have no such baseline.
        DataError: If the training rows are needed, and cannot be read.
    """
    choices = CHOICES[kind]
    name = name or next(iter(choices))
    if name not in choices:
        raise ConfigError(f"baseline={name}: for this run's rows ({kind}), choose from: {', '.join(choices)}")
    shape = run.schema.input_shape
    notes: tuple[str, ...] = ()
    if seen.embedding is not None:
        row = seen.embedding.weight[IDS[name]].detach()[None, None]
    elif name in ("zero", "black"):
        zeros = torch.zeros(1, *shape, dtype=torch.float64)
        row = weights.fitted.input_scale(subtract(zeros, run.schema.input_centre)).to(device)
    elif run.config.parts["scale"]["name"] == "standard":
        row = torch.zeros(1, *shape, device=device)
    else:
        row, notes = _mean_row(run, weights, device)
    return Baseline(name, choices[name], row, notes)


def _mean_row(run: Finished, weights: Weights, device: torch.device) -> tuple[Tensor, tuple[str, ...]]:
    """Return the scaled mean of the training rows ``(1, *shape)``, and a note if they are other rows by now."""
    # Without the settings that say how the given files are written: they may differ from the training data.
    own = [word for word in run.overrides if word.partition("=")[0] in ("device", "threads", *OF_THE_DATA)]
    config = configuration(run.directory, run.config.components, own, ("device", "threads", *OF_THE_DATA))
    try:
        measured = assemble_evaluation(config, run.schema, weights.fitted)
    except DataError as error:
        raise DataError(
            f"{error}; baseline=mean needs the training rows, because scale={run.config.parts['scale']['name']} does not"
            " contain their mean: use another baseline"
        ) from error
    changed = fingerprints.differ([measured.data.schema.fingerprint, run.schema.fingerprint])
    notes = ("the data has changed since training; the baseline is the mean of the new training rows",)
    mean = mean_of(measured.data.splits["train"], measured.batch_size)
    scaled = measured.data.input_scale(mean.to(device))
    return scaled.expand(1, *run.schema.input_shape).contiguous(), notes if changed else ()


def mean_of(rows: Rows, size: int) -> Tensor:
    """Return the mean of each column, or of each channel of images, in float32, in a shape that broadcasts to a row."""
    total, count = torch.zeros(1, dtype=torch.float64), 0
    for inputs, _ in rows.portions(size):
        numbers = inputs.cpu().double()
        dimensions = [0, 2, 3] if numbers.ndim == 4 else list(range(numbers.ndim - 1))
        total = total + numbers.sum(dimensions, keepdim=True)
        count += numbers.numel() // total.numel()
    return (total / count).float()
