"""Average the weights of runs: all of them, or those that do not make the validation metric worse."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from trainctl.finished.alignment import match, permuted
from trainctl.run.model import batch_norms
from trainctl.run.parent import Parent
from trainctl.run.run import Run
from trainctl.run.units import describe
from trainctl.store import restore
from trainctl.train.evaluation import evaluate, measure_statistics

Tensors = dict[str, Tensor]
Statistics = Literal["averaged", "measured", "none"]


@dataclass(frozen=True)
class Trial:
    """What adding a part to a mean has done.

    Args:
        part: The part.
        alone: The metric of the part.
        together: The metric of the mean with the part; NaN if it was not measured.
        kept: Whether the part stays in the mean.
        statistics: How the batch-norm statistics of this mean were computed: ``averaged``, those of its parts; or
            ``measured`` on the training rows; ``none`` if it has no batch norms.
        weights: The mean with the part.
    """

    part: Parent
    alone: float
    together: float
    kept: bool
    statistics: Statistics
    weights: Tensors


def mean(models: Sequence[Mapping[str, Tensor]]) -> Tensors:
    r"""Return the mean of models, tensor by tensor: :math:`\bar w = \frac1n \sum_i w_i`, computed in float64.

    Of counters (the batches that a norm has seen), the largest is returned.
    """
    result = {}
    for name, first in models[0].items():
        if not first.is_floating_point():
            result[name] = torch.stack([model[name].cpu() for model in models]).amax(0)
            continue
        total = first.double().cpu()  # the sum one by one: a stack of all models would take their memory once more
        for model in models[1:]:
            total += model[name].double().cpu()
        result[name] = (total / len(models)).to(first.dtype)
    return result


def aligned(run: Run, reference: Parent, part: Parent) -> Tensors:
    """Return the tensors of a part with its hidden units in the order of those that they resemble in a reference.

    Raises:
        ConfigError: If the hidden units of the model are not known.
    """
    structure = describe(run.model)
    learned = [name for name, _ in run.model.named_parameters()]
    orders = match(
        {name: reference.model[name] for name in learned}, {name: part.model[name] for name in learned}, structure
    )
    return permuted(part.model, structure.groups, orders)


def ranked(run: Run, parts: Sequence[Parent]) -> list[tuple[Parent, float]]:
    """Return the parts and their validation metric, the best first."""
    values = [(part, measured(run, part.model, part.path)) for part in parts]
    return sorted(values, key=lambda pair: cost_of(run, pair[1]))


def average(run: Run, ranking: Sequence[tuple[Parent, float]], *, greedy: bool, align: bool) -> list[Trial]:
    """Average the weights of parts.

    Args:
        run: A run with the parts' model and data.
        ranking: The parts and their metrics, the best first.
        greedy: Whether to add one part after the other, and to keep it if the metric of the mean is not worse. The result
            is then never worse than the best part. Otherwise all parts are averaged.
        align: Whether to reorder the hidden units of the parts to match those of the best one.

    Returns:
        A trial for each part, in the order of the ranking; the last one that was kept has the result.

    Source: M. Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves accuracy without
    increasing inference time, ICML 2022, recipe 1.
    """
    best, value = ranking[0]
    norms: Statistics = "averaged" if batch_norms(run.model) else "none"
    trials = [Trial(best, value, value, True, norms, best.model)]
    kept = [best.model]
    for number, (part, alone) in enumerate(ranking[1:], 2):
        candidate = [*kept, aligned(run, best, part) if align else part.model]
        if not greedy and number < len(ranking):  # only the mean of all of them is of interest
            trials.append(Trial(part, alone, math.nan, True, "none", {}))
            kept = candidate
            continue
        weights, together, statistics = with_statistics(run, mean(candidate))
        good = not greedy or cost_of(run, together) <= cost_of(run, value)
        trials.append(Trial(part, alone, together, good, statistics, weights))
        if good:
            kept, value = candidate, together
    return trials


def with_statistics(run: Run, weights: Tensors) -> tuple[Tensors, float, Statistics]:
    """Return weights with the batch-norm statistics that are better on the validation split, and the metric there.

    These are the mean of the parts' statistics, or those of the averaged weights on the training rows without
    augmentation. Neither is always better: measured ones fit the averaged weights, but weights that were trained with
    augmentation have seen other rows.
    """
    value = measured(run, weights, "the mean of the parts")
    if not batch_norms(run.model):
        return weights, value, "none"
    measure_statistics(run)
    renewed = {key: tensor.detach().cpu().clone() for key, tensor in run.evaluation.model.state_dict().items()}
    other = evaluate(run.evaluation, "val")[run.config.monitor]
    if cost_of(run, other) < cost_of(run, value):
        return renewed, other, "measured"
    return weights, value, "averaged"


def measured(run: Run, weights: Mapping[str, Tensor], source: str) -> float:
    """Return the metric that the run monitors, for other weights; they stay in its evaluated model.

    Args:
        run: The run.
        weights: The weights.
        source: Where they come from, for a message.

    Raises:
        CheckpointError: If they do not match the model, or are not finite.
    """
    restore.load_weights(run.evaluation.model, weights, Path(source))
    return evaluate(run.evaluation, "val")[run.config.monitor]


def cost_of(run: Run, value: float) -> float:
    """Return a value of the run's metric such that smaller is better; infinite if it is not a number."""
    if math.isnan(value):
        return math.inf
    return -value if run.evaluation.maximizes(run.config.monitor) else value
