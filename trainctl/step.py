"""How one optimizer step is executed: eager."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainctl.augment.base import Mixing
from trainctl.device import autocast, derive
from trainctl.errors import NonFiniteError
from trainctl.run import Run

Step = Callable[[Tensor, Tensor], None]


def scaled(run: Run, stored: Tensor, targets: Tensor, augmented: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return what the model sees and what it is to return: a reconstruction's target is its scaled, not augmented input."""
    seen = run.data.input_scale(stored if augmented is None else augmented)
    if run.task != "reconstruction":
        return seen, targets
    return seen, seen if augmented is None else run.data.input_scale(stored)


def compare(run: Run, outputs: Tensor, targets: Tensor, mixings: Sequence[Mixing]) -> tuple[Tensor, Tensor]:
    """Return a batch's loss, and the targets that metrics count.

    Where rows were mixed, the losses against all their classes are mixed by share, and the class with the largest
    share counts; targets that are numbers are mixed themselves.
    """
    if not mixings:
        return run.loss(outputs, targets), targets
    parts = [(outputs.new_ones(()), targets)]
    for mixing in mixings:
        parts = mixing.parts(parts)
    if run.task != "classification":
        targets = torch.stack([share * part for share, part in parts]).sum(0)
        return run.loss(outputs, targets), targets
    loss = torch.stack([share * run.loss(outputs, part) for share, part in parts]).sum()
    largest = torch.stack([share for share, _ in parts]).argmax().reshape(1)  # not [largest]: the host would wait
    return loss, torch.stack([part for _, part in parts]).index_select(0, largest).squeeze(0)


def eager(run: Run) -> Step:
    """Return the function that takes a batch as it is stored and makes one optimizer step.

    The batch is computed in ``loop.micro_batches`` parts, whose gradients add up to that of the whole.

    Raises:
        NonFiniteError: On a CPU, if the loss is not finite, before any weight has changed.
    """
    config, model, optimizer, scaler = run.config, run.model, run.optimizer, run.scaler
    generator = torch.Generator(run.device)
    context = autocast(run.device, config.precision)
    penalties = [regularizer.penalty for regularizer in run.regularizers if regularizer.penalty]
    projections = [regularizer.project for regularizer in run.regularizers if regularizer.project]
    augmented = any(member["name"] != "none" for member in config.members("augment"))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def backward(inputs: Tensor, targets: Tensor, share: float) -> Tensor:
        """Add a part's gradient; return its share of the loss."""
        changed, mixings = augment(inputs) if augmented else (None, [])
        inputs, targets = scaled(run, inputs, targets, changed)
        with context:
            outputs = model(inputs).float()
            loss, targets = compare(run, outputs, targets, mixings)
        total = loss * share
        for penalty in penalties:
            total = total + penalty() * share
        scaler.scale(total).backward()
        run.sums.add(loss, outputs, targets)
        return total.detach()

    def augment(inputs: Tensor) -> tuple[Tensor, list[Mixing]]:
        mixings = []
        for change in run.augment:
            changed = change(inputs, generator)
            inputs, mixing = changed if isinstance(changed, tuple) else (changed, None)
            mixings += [mixing] if mixing else []
        return inputs, mixings

    def step(inputs: Tensor, targets: Tensor) -> None:
        if augmented:
            generator.manual_seed(derive(config.seed, run.state.step))
        rows = len(inputs)
        parts = min(config.loop.micro_batches, rows)
        losses = [
            backward(x, y, len(x) / rows)
            for x, y in zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True)
        ]
        if run.device.type == "cpu" and not math.isfinite(value := sum(float(loss) for loss in losses)):
            optimizer.zero_grad()
            raise NonFiniteError(_explain(run, value))
        _clip(run, parameters)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        for project in projections:
            project()
        run.state.averaged = run.average.update(run.state.step + 1, run.state.averaged)

    return step


def _clip(run: Run, parameters: list[Tensor]) -> None:
    loop = run.config.loop
    if loop.clip_norm is None and loop.clip_value is None:
        return
    run.scaler.unscale_(run.optimizer)
    if loop.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, loop.clip_value)
    if loop.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, loop.clip_norm)


def _explain(run: Run, value: float) -> str:
    return (
        f"the loss is {value} at step {run.state.step + 1} (epoch {run.epoch:.2f}, learning rate {run.learning_rate:g}): "
        f"try a smaller optimizer.lr, loop.clip_norm=1, or scale=standard"
    )
