"""What a trivial model reaches on the same rows, and how uncertain the metrics of a test split are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from trainctl.data.rows import Data, SplitName
from trainctl.run import metric_names
from trainctl.run.run import Evaluation
from trainctl.train import resampled
from trainctl.train.evaluation import evaluate, outputs, scores_of
from trainctl.wording import shortened

LEVEL = 0.95  # of the intervals
RESAMPLES, MOST_ROWS = 1000, 5000  # of the bootstrap; with more rows, a mean is as good as normally distributed
PRIMARY = {"classification": "accuracy", "regression": "rmse", "reconstruction": "rmse"}


class Constant(nn.Module):
    """Predicts the same for every row.

    Args:
        value: The outputs for a row.
    """

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs for a batch."""
        return self.value.expand(len(inputs), *self.value.shape)


class Repeat(nn.Module):
    """Predicts that a series repeats its last ``period`` values.

    Args:
        data: Of windows ``(N, W, F)`` whose targets are the next rows of the same columns, one after the other.
        period: Number of rows, at most W.
    """

    def __init__(self, data: Data, period: int) -> None:
        super().__init__()
        self.data, self.period = data, period
        self.steps = data.schema.outputs // data.schema.input_shape[1]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scaled targets that follow from the scaled inputs."""
        schema, values = self.data.schema, self.data.input_scale.inverse(inputs)
        columns = values.shape[2]
        places = [values.shape[1] - self.period + step % self.period for step in range(self.steps)]
        # Centres may be large: their difference is computed before float32 loses its digits.
        centres = list(schema.input_centre or [0.0] * columns) * self.steps
        shifts = [one - other for one, other in zip(centres, schema.target_centre or [0.0] * len(centres), strict=True)]
        following = values[:, places].flatten(1) + torch.tensor(shifts).to(values)
        return following if self.data.target_scale is None else self.data.target_scale(following)


@dataclass(frozen=True)
class Trivial:
    """A model that learns nothing from the inputs, and what it reaches.

    Args:
        what: What it predicts, in words.
        metrics: Its metrics, by ``split/name``.
    """

    what: str
    metrics: Mapping[str, float]


def trivial(evaluation: Evaluation, split: SplitName) -> Trivial:
    """Measure the trivial model of a task.

    It predicts the frequencies of the classes in the training rows, so always the most frequent class; the mean target or
    the mean input of the training rows; for a series the last values, with the period that fits the training rows best.
    """
    model, what = trivial_model(evaluation)
    plain = replace(evaluation, model=model.to(evaluation.device))
    return Trivial(what, evaluate(plain, split))


def trivial_model(evaluation: Evaluation) -> tuple[nn.Module, str]:
    """Return the trivial model of a task, and what it predicts, in words."""
    data = evaluation.data
    rows, schema = data.splits["train"], data.schema
    if evaluation.task == "classification":
        counts = torch.zeros(schema.outputs, dtype=torch.float64)
        for _, targets in rows.portions(evaluation.batch_size):
            labelled = targets[targets >= 0].cpu()
            counts += torch.bincount(labelled, minlength=schema.outputs)
        smallest = 0.5 if (counts == 0).any() else 0.0  # so that no probability is 0
        names = schema.class_names
        most = shortened(names[int(counts.argmax())], 40) if names else str(int(counts.argmax()))
        return Constant(
            ((counts + smallest) / (counts + smallest).sum()).log().float()
        ), f"always predicting class {most}"
    if evaluation.task == "reconstruction":
        return Constant(_mean(evaluation, of_inputs=True)), "predicting the mean of the training rows"
    if periods := _periods(data):
        errors = {period: _error(evaluation, Repeat(data, period)) for period in periods}
        best = min(errors, key=lambda period: errors[period])
        return Repeat(
            data, best
        ), "repeating the last value" if best == 1 else f"repeating the value {best} rows before"
    return Constant(_mean(evaluation, of_inputs=False)), "predicting the mean of the training rows"


def _mean(evaluation: Evaluation, *, of_inputs: bool) -> Tensor:
    """Return the mean of the scaled inputs or targets of the training rows."""
    data, total, count = evaluation.data, torch.zeros((), dtype=torch.float64), 0
    for inputs, targets in data.splits["train"].portions(evaluation.batch_size):
        values = data.input_scale(inputs) if of_inputs else targets
        total = total + values.double().sum(0).cpu()
        count += len(values)
    return (total / count).float()


def _periods(data: Data) -> range:
    """Return the periods with which windows of a series can repeat; none if the rows are not such windows."""
    schema = data.schema
    if len(schema.input_shape) != 2 or not schema.input_names or schema.outputs % schema.input_shape[1]:
        return range(0)
    steps = schema.outputs // schema.input_shape[1]
    expected = tuple(f"{name}+{step}" for step in range(1, steps + 1) for name in schema.input_names)
    return range(1, schema.input_shape[0] + 1) if schema.target_names == expected else range(0)


@torch.no_grad()
def _error(evaluation: Evaluation, model: nn.Module) -> float:
    """Return the mean absolute error of a model on some of the training rows, in scaled units."""
    inputs, targets = evaluation.data.splits["train"].sample(MOST_ROWS)
    return float((model(evaluation.data.input_scale(inputs)) - targets).abs().mean())


def no_better(
    metrics: Mapping[str, float], plain: Trivial, task: str, split: str, ends: Mapping[str, Sequence[float]]
) -> str:
    """Return a line that warns of a model that is no better than the trivial one, or not clearly; empty if it is better.

    Args:
        metrics: What the model reaches.
        plain: What the trivial one reaches.
        task: The task.
        split: The rows of both.
        ends: The confidence interval of each metric, as far as it is known.
    """
    name = f"{split}/{PRIMARY[task]}"
    value, other = metrics.get(name, math.nan), plain.metrics.get(name, math.nan)
    better = value > other if metric_names.maximize(name) else value < other
    if math.isnan(value) or math.isnan(other):
        return ""
    if not better:
        return (
            f"the model is no better than a trivial baseline: {name} is {value:.4g}, and {plain.what} gives {other:.4g}"
        )
    low, high = ends.get(name) or (value, value)
    if not low <= other <= high:
        return ""
    return (
        f"the model may be no better than a trivial baseline: {name} is {value:.4g}, its 95 % interval is {low:.4g} to"
        f" {high:.4g}, and {plain.what} gives {other:.4g}"
    )


def intervals(evaluation: Evaluation, split: SplitName, metrics: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the 95 % confidence intervals of the metrics of a split: accuracy, MAE, RMSE, and the group ``metric``.

    They say how much the metrics would vary with other test rows of the same kind, not with other initial weights. That
    of the accuracy is exact (C. Clopper, E. Pearson, 1934), the others are from a bootstrap (B. Efron, 1979).
    """
    rows, found = len(evaluation.data.splits[split]), {}
    if not rows:
        return {}
    if evaluation.task == "classification" and (name := f"{split}/accuracy") in metrics:
        found[name] = clopper_pearson(round(metrics[name] * rows), rows)
    wanted = [metric for metric in evaluation.metrics if metric.names]
    if not wanted and evaluation.task != "regression":
        return found
    kept = [(values.cpu(), targets.cpu()) for values, targets in outputs(evaluation, split)]
    scores = scores_of(evaluation, torch.cat([each for each, _ in kept]), torch.cat([each for _, each in kept]))
    if evaluation.task == "regression":
        errors = scores.predicted - scores.targets
        found[f"{split}/mae"] = bootstrap(np.abs(errors).mean(1))
        if errors.shape[1] == 1:
            found[f"{split}/rmse"] = [math.sqrt(max(end, 0.0)) for end in bootstrap(np.square(errors[:, 0]))]
    found |= {f"{split}/{name}": ends for name, ends in resampled.intervals(wanted, scores).items()}
    return {name: ends for name, ends in found.items() if all(map(math.isfinite, ends))}


def clopper_pearson(right: int, rows: int) -> list[float]:
    """Return the exact confidence interval of a fraction.

    >>> [round(end, 4) for end in clopper_pearson(9, 10)]
    [0.555, 0.9975]
    """
    tail = (1 - LEVEL) / 2
    low = _quantile(right, rows - right + 1, tail) if right else 0.0
    high = _quantile(right + 1, rows - right, 1 - tail) if right < rows else 1.0
    return [low, high]


def _quantile(a: float, b: float, level: float) -> float:
    """Return the quantile of a beta distribution.

    This is our own because torch.special has neither the quantile nor the distribution function (the incomplete beta
    function), and training must not import scipy, which takes a fifth of a second.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beta_distribution(middle, a, b) < level else (low, middle)
    return (low + high) / 2


def beta_distribution(x: float, a: float, b: float) -> float:
    """Return the distribution function of a beta distribution, by a continued fraction.

    Source: M. Abramowitz, I. Stegun, Handbook of mathematical functions, 1964, 26.5.8; evaluated by the method of
    W. Lentz, 1976.

    >>> round(beta_distribution(0.3, 2, 5), 6)
    0.579825
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - beta_distribution(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    tiny = 1e-300
    c, d = tiny, 0.0
    value = 1.0
    for step in range(1, 10_000):
        half = step // 2
        if step == 1:
            factor = 1.0
        elif step % 2:
            factor = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        else:
            factor = -(a + half - 1) * (a + b + half - 1) * x / ((a + 2 * half - 2) * (a + 2 * half - 1))
        d = 1 / (1 + factor * d or tiny)
        c = 1 + factor / c or tiny
        value = value * c * d if step > 1 else d
        if step > 2 and abs(c * d - 1) < 1e-12:
            break
    return front * value


def bootstrap(values: np.ndarray) -> list[float]:
    """Return the confidence interval of a mean ``(N,)``: percentiles of resampled means, or of the normal distribution."""
    rows = len(values)
    if rows < 2:
        return [math.nan, math.nan]
    if rows > MOST_ROWS:
        width = 1.959964 * float(values.std(ddof=1)) / math.sqrt(rows)
        return [float(values.mean()) - width, float(values.mean()) + width]
    generator = np.random.default_rng(0)
    means = [values[generator.integers(0, rows, rows)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
    return [float(low), float(high)]
