"""One pass over a split without training."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from trainctl.data.rows import SplitName
from trainctl.machine.device import autocast
from trainctl.run.run import Run
from trainctl.run.sums import Sums
from trainctl.step.eager import scaled

Check = Callable[[], None]


@torch.no_grad()
def outputs(run: Run, split: SplitName, check: Check = lambda: None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the evaluated model's outputs and the scaled targets, in portions, in the rows' order.

    ``check`` is called before each portion, and may break it off.
    """
    rows, size = run.data.splits[split], run.config.loop.eval_batch_size
    model = run.average.model
    model.eval()
    try:
        for inputs, targets in zip(rows.inputs.split(size), rows.targets.split(size), strict=True):
            check()
            seen, wanted = scaled(run, inputs, targets)
            with autocast(run.device, run.config.precision):
                portion = model(seen)
            yield portion.float(), wanted
    finally:
        model.train()


@torch.no_grad()
def renew_statistics(run: Run, check: Check = lambda: None) -> None:
    """Measure the batch-norm statistics of averaged weights: their mean over the batches of the training split.

    Without augmentation, and with dropout off, so that no random number is drawn.
    """
    model, rows, parts = run.average.model, run.data.splits["train"], run.config.loop.micro_batches
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not (norms and run.average.renews_statistics and run.state.averaged):
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None  # a plain mean over the batches
    try:
        for inputs in rows.inputs.split(run.plan.batch_size):
            check()
            for part in inputs.tensor_split(min(parts, len(inputs))):
                with autocast(run.device, run.config.precision):
                    model(run.data.input_scale(part))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train()


def evaluate(run: Run, split: SplitName, check: Check = lambda: None) -> dict[str, float]:
    """Return a split's metrics as ``split/name``; waits for the device."""
    sums = Sums(run.task, run.sums.columns, run.sums.units, run.device, run.world)
    for portion, wanted in outputs(run, split, check):
        sums.add(run.loss(portion, wanted), portion, wanted)
    return {f"{split}/{name}": value for name, value in sums.values().items()}


def confusion(run: Run, split: SplitName) -> list[list[int]]:
    """Count classes: one row for each true class, one column for each predicted one."""
    classes = len(run.data.class_names)
    counts = torch.zeros(classes * classes, dtype=torch.long, device=run.device)
    for portion, wanted in outputs(run, split):
        counts += torch.bincount(wanted * classes + portion.argmax(1), minlength=classes * classes)
    table: list[list[int]] = counts.reshape(classes, classes).tolist()
    return table
