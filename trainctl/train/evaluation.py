"""Evaluation: a pass over a split without training."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainctl.components.metric.base import Scores
from trainctl.data.centre import add
from trainctl.data.order import fixed_order
from trainctl.data.rows import SplitName
from trainctl.machine.device import autocast
from trainctl.machine.world import ALONE, World
from trainctl.run.model import batch_norms
from trainctl.run.run import Evaluation, Run
from trainctl.run.sums import Sums
from trainctl.step.eager import scaled

Check = Callable[[], None]


@torch.no_grad()
def outputs(
    evaluation: Evaluation, split: SplitName, check: Check = lambda: None, world: World = ALONE
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the model's outputs and the scaled targets in portions, in the order of the rows.

    Args:
        evaluation: The parts that measure the model.
        split: The rows.
        check: Called before each portion; it may raise an exception to end the evaluation.
        world: The processes among which the portions are dealt: each gets those of its own.
    """
    model, number, own = evaluation.model, -1, 0

    def measured(stored: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        inputs, expected = scaled(evaluation, stored, targets)
        with autocast(evaluation.device, evaluation.precision):
            portion = model(inputs)
        return portion.float(), expected

    model.eval()
    try:
        for number, (stored, targets) in enumerate(evaluation.data.splits[split].portions(evaluation.batch_size)):
            if number % world.size != world.rank:
                continue
            if not evaluation.lockstep:  # else all processes reach the end, and a signal is heard then
                check()
            own += 1
            yield measured(stored, targets)
        if evaluation.lockstep and own * world.size <= number:
            measured(stored, targets)  # the others need this process for one portion more
    finally:
        model.train()


def renew_statistics(run: Run, check: Check = lambda: None) -> None:
    """Compute the batch-norm statistics of averaged weights, if the run averages any."""
    if run.average.renews_statistics and run.state.averaged:
        run.world.together(lambda: measure_statistics(run, check))


@torch.no_grad()
def measure_statistics(run: Run, check: Check = lambda: None) -> None:
    """Compute the batch-norm statistics of the evaluated model, as means over batches of the training split.

    The rows are visited in a random order that depends only on the run's seed: a split is in the order of its source, and
    where that is sorted by class, a batch would have one class, and the variance would lack the spread between classes.
    Augmentation and dropout are disabled, so that no random number is drawn.
    """
    model, parts = run.average.model, run.config.loop.micro_batches
    norms = [norm for norm in batch_norms(model) if norm.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None  # a plain mean over the batches
    try:
        for inputs in _in_fixed_order(run):
            check()
            for part in inputs.tensor_split(min(parts, len(inputs))):
                with autocast(run.device, run.config.precision):
                    model(run.data.input_scale(part))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train()


def _in_fixed_order(run: Run) -> Iterator[Tensor]:
    """Yield the inputs of the training rows in batches, those without a label last."""
    sizes = [(run.data.splits["train"], run.plan.batch_size)]
    if run.data.without_label is not None:
        sizes.append((run.data.without_label, run.plan.batch_size + run.plan.unlabeled_size))
    for rows, size in sizes:
        for indices in fixed_order(len(rows), run.config.seed).to(run.device).split(size):
            yield rows.gather(indices)[0]


def evaluate(evaluation: Evaluation, split: SplitName, check: Check = lambda: None) -> dict[str, float]:
    """Return the metrics of a split, named ``split/name``; waits for the device."""
    return measure(evaluation, split, check).metrics(split)


@dataclass(frozen=True)
class Measured:
    """What was measured on a split.

    Args:
        sums: From which the task's own metrics follow.
        more: The metrics of the group ``metric``, by name.
    """

    sums: Sums
    more: dict[str, float]

    def metrics(self, split: SplitName) -> dict[str, float]:
        """Return the metrics of the split, named ``split/name``; waits for the device."""
        return {f"{split}/{name}": value for name, value in (self.sums.values() | self.more).items()}


def measure(evaluation: Evaluation, split: SplitName, check: Check = lambda: None) -> Measured:
    """Measure a split in one pass; the outputs are kept only if a metric needs those of all rows together."""
    if evaluation.world.size > 1:
        return measure_together(evaluation, split, check)
    sums = evaluation.new_sums(split)
    kept: list[tuple[Tensor, Tensor]] = []
    wanted = [metric for metric in evaluation.metrics if metric.names]
    for portion, targets in outputs(evaluation, split, check):
        sums.add(evaluation.loss(portion, targets), portion, targets)
        if wanted:
            kept.append((portion.cpu(), targets.cpu()))
    return Measured(sums, _computed(evaluation, kept))


def measure_together(evaluation: Evaluation, split: SplitName, check: Check) -> Measured:
    """Measure a split in one pass that the processes share; the result is that of one process, in each of them.

    Portion i is measured by process i mod W; the sums of portions are added in their order.
    """
    world, sums = evaluation.world, evaluation.new_sums(split)
    assert world.link is not None
    wanted = any(metric.names for metric in evaluation.metrics)

    def own() -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        rows: list[Tensor] = []
        kept: list[tuple[Tensor, Tensor]] = []
        for portion, targets in outputs(evaluation, split, check, world):
            sums.add(evaluation.loss(portion, targets), portion, targets)
            rows.append(sums.take())
            if wanted:
                kept.append((portion.cpu(), targets.cpu()))
        return rows, kept

    rows, kept = (world.in_step if evaluation.lockstep else world.together)(own)
    sums.fold(world.link.dealt(rows))
    if not wanted:
        return Measured(sums, {})
    gathered = [world.link.dealt([pair[side] for pair in kept]) for side in (0, 1)]
    return Measured(sums, _computed(evaluation, list(zip(*gathered, strict=True))))


def _computed(evaluation: Evaluation, kept: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Return the metrics of the group ``metric`` from the outputs and targets of all portions."""
    if not kept:
        return {}
    scores = scores_of(evaluation, torch.cat([each for each, _ in kept]), torch.cat([each for _, each in kept]))
    more: dict[str, float] = {}
    for metric in evaluation.metrics:
        if metric.names:
            more |= dict(zip(metric.names, metric.compute(scores), strict=True))
    return more


def scores_of(evaluation: Evaluation, predicted: Tensor, targets: Tensor) -> Scores:
    """Return the outputs and targets of all rows as metrics read them: probabilities, or values in their units."""
    if evaluation.task == "classification":
        chances = predicted.double().softmax(1)
        return Scores(targets.numpy(), predicted.argmax(1).numpy(), chances.numpy())
    scale = evaluation.data.target_scale if evaluation.task == "regression" else None
    centre = evaluation.data.schema.target_centre if evaluation.task == "regression" else ()
    numbers = [
        add(each.flatten(1) if scale is None else scale.to(torch.device("cpu")).inverse(each.float()), centre).double()
        for each in (targets, predicted)
    ]
    return Scores(numbers[0].numpy(), numbers[1].numpy())


def confusion(evaluation: Evaluation, split: SplitName, check: Check = lambda: None) -> list[list[int]]:
    """Return the confusion matrix: one row for each true class, one column for each predicted class."""
    classes = len(evaluation.data.schema.class_names)
    counts = torch.zeros(classes * classes, dtype=torch.long, device=evaluation.device)
    for portion, targets in outputs(evaluation, split, check):
        counts += torch.bincount(targets * classes + portion.argmax(1), minlength=classes * classes)
    table: list[list[int]] = counts.reshape(classes, classes).tolist()
    return table
