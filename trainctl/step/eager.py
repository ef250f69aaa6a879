"""One optimizer step, computed eagerly: the reference for recorded and captured steps."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainctl.components.augment.base import Mixing
from trainctl.components.compress.base import Moment, nothing
from trainctl.errors import NonFiniteError
from trainctl.machine.device import autocast
from trainctl.run.run import Evaluation, Run
from trainctl.step.batch import batch_of, count
from trainctl.step.fused import trained_parameters, unwrapped_step
from trainctl.step.part import Compute, Mark, Part, Piece, Seen, ignore
from trainctl.step.recompute import Forward, forward_of
from trainctl.step.sharded import added, clip_norm, is_sharded, total_of
from trainctl.step.split_state import updating_a_share
from trainctl.step.teaching import teaching

Step = Callable[..., None]  # (inputs, targets, and what a teacher says about the rows, if that is stored)


def scaled(
    evaluation: Evaluation, stored: Tensor, targets: Tensor, augmented: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the scaled inputs and the targets; the target of a reconstruction is the scaled input before augmentation."""
    scale = evaluation.data.input_scale
    inputs = scale(stored if augmented is None else augmented)
    if evaluation.task != "reconstruction":
        return inputs, targets
    return inputs, inputs if augmented is None else scale(stored)


def compare(run: Run, outputs: Tensor, targets: Tensor, mixings: Sequence[Mixing]) -> tuple[Tensor, Tensor]:
    """Return a batch's loss, and the targets for the metrics.

    If rows were mixed, the loss is the mean of the losses for the mixed rows' classes, weighted by their shares, and the
    metrics use the class with the largest share. Numeric targets are themselves averaged with these weights.
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
    largest = (
        torch.stack([share for share, _ in parts]).argmax().reshape(1)
    )  # not [largest], which would make the host wait
    return loss, torch.stack([part for _, part in parts]).index_select(0, largest).squeeze(0)


def eager(run: Run, mark: Mark = ignore) -> Step:
    """Return the function that takes one optimizer step on a batch in its stored form.

    Args:
        run: The run to train.
        mark: Called at the start of each phase, see :data:`trainctl.measure.marks.PARTS`.
    """
    return optimizer_step(run, differentiate(run, mark), apply(run), mark=mark)


def closely(run: Run, compute: Compute | None = None) -> Step:
    """Return a step that also checks every gradient before it changes the weights.

    Args:
        run: The run to train.
        compute: Computes a part; None: eagerly.

    Raises:
        NonFiniteError: From the step, if the loss or the gradient's norm is not finite.
    """
    return optimizer_step(run, compute or differentiate(run), apply(run), closely=True)


def differentiate(run: Run, mark: Mark = ignore, forward: Forward | None = None) -> Compute:
    """Return the function that computes a part's contribution to the loss and gradient, and updates the metrics.

    Args:
        run: The run to train.
        mark: Called at the start of each phase.
        forward: Another forward pass of the model; None for that of the run.

    If the metrics are updated later (see :class:`trainctl.run.sums.Sums`), it returns the values that they need instead.
    """
    model, parameters = forward or forward_of(run), trained_parameters(run.optimizer)
    scaler, sums = run.scaler, run.sums
    context = autocast(run.device, run.config.precision)
    penalties = [
        (f"penalty:{member['name']}", regularizer.penalty)
        for member, regularizer in zip(run.config.members("regularizer"), run.regularizers, strict=True)
        if regularizer.penalty
    ]
    teach, sharded = teaching(run), is_sharded(run)

    def compute(piece: Piece) -> Part:
        mark("scaling")
        inputs, targets = scaled(run.evaluation, piece.inputs, piece.targets, piece.augmented)
        mark("forward")
        with context:
            outputs, lesson = teach(piece, inputs, model(inputs).float())
            labeled = outputs if len(targets) == len(outputs) else outputs[: len(targets)]
            loss, targets = compare(run, labeled, targets, piece.mixings)
        total = loss if lesson is None else loss * run.teacher.label_weight
        for name, penalty in penalties:
            mark(name)
            total = total + penalty()
        total = total if piece.share == 1 else total * piece.share
        total = total if lesson is None else total + lesson
        mark("backward")
        gradients = added(total) if sharded else _gradients(scaler.scale(total), parameters, run.freezer.held)
        mark("bookkeeping")
        seen = Seen(loss.detach(), labeled.detach(), targets)
        part = Part(total.detach(), list(map(_laid_out, gradients, parameters)), seen)
        if not sums.waits:
            count(run, part, mark)
            part.seen = None
        return part

    return compute


def _gradients(total: Tensor, parameters: list[Tensor], held: int) -> Sequence[Tensor | None]:
    """Return the gradient of each parameter; None for those that are frozen or unused.

    No initial gradient is passed: autograd would compare its shape with sympy, whose import takes a second.
    """
    if not held:
        return torch.autograd.grad(total, parameters, allow_unused=True)
    found = iter(torch.autograd.grad(total, [each for each in parameters if each.requires_grad], allow_unused=True))
    return [next(found) if each.requires_grad else None for each in parameters]


def _laid_out(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """Return a gradient in its parameter's memory layout, which fused optimizers require."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def apply(run: Run) -> Callable[[], object]:
    """Return the function that applies the optimizer to the parameters' gradients."""
    if run.scaler.is_enabled():
        return lambda: run.scaler.step(run.optimizer)
    return unwrapped_step(run.optimizer)


def optimizer_step(
    run: Run, compute: Compute, update: Callable[[], object], *, closely: bool = False, mark: Mark = ignore
) -> Step:
    """Return a step that computes a batch, in ``loop.micro_batches`` parts, and changes the weights.

    Args:
        run: The run to train.
        compute: Computes a part.
        update: Applies the optimizer to the parameters' gradients.
        closely: Whether to check every gradient before the weights change.
        mark: Called at the start of each phase.

    Raises:
        NonFiniteError: From the step, before any weight has changed: on a CPU if the loss is not finite; with
            ``closely`` also if the gradient's norm is not finite.
    """
    config, parameters = run.config, trained_parameters(run.optimizer)
    batch = batch_of(run, compute, mark)
    compress = _compression(run, mark)
    change = _change(run, updating_a_share(run, update), compress, mark)
    # Projections and clip_value can turn an infinite gradient into a finite update, which no later check would notice.
    closely = closely or (
        run.device.type == "cpu"
        and (config.loop.clip_value is not None or any(each.project for each in run.regularizers))
    )
    checked = run.device.type == "cpu" or (closely and not run.scaler.is_enabled())  # a scaler skips such steps itself

    preparations = _preparations(run)

    def step(inputs: Tensor, targets: Tensor, taught: Tensor | None = None) -> None:
        for prepare in preparations:
            prepare(run.state.step)
        # 1. The parts of the batch.
        compress("before")
        total = batch(inputs, targets, taught)
        # 2. The gradient.
        if checked:
            _require_finite(run, float(total.loss), total.gradients if closely else ())
        for parameter, gradient in zip(parameters, total.gradients, strict=True):
            parameter.grad = gradient
        compress("between")
        _clip(run, parameters, mark)
        # 3. The weights.
        change()

    return step


def _change(run: Run, update: Callable[[], object], compress: Callable[[str], None], mark: Mark) -> Callable[[], None]:
    """Return the function that changes the weights, and what follows them, once they have their gradients."""
    projections = [
        (f"projection:{member['name']}", regularizer.project)
        for member, regularizer in zip(run.config.members("regularizer"), run.regularizers, strict=True)
        if regularizer.project
    ]
    averages = run.average.model is not run.model

    def change() -> None:
        mark("optimizer")
        update()
        mark("bookkeeping")
        run.scaler.update()
        for name, project in projections:
            mark(name)
            project()
            if run.freezer.active:
                run.freezer.restore()
            mark("bookkeeping")
        compress("after")
        if averages:
            mark("averaging")
        run.state.averaged = run.average.update(run.state.step + 1, run.state.averaged)
        if averages:
            compress("follow")
        if run.teacher.follow is not None:
            mark("averaging")
            run.teacher.follow(run.state.step + 1)
        mark("bookkeeping")

    return change


def _compression(run: Run, mark: Mark) -> Callable[[str], None]:
    """Return the function that applies all constraints of compression at one of their points in a step.

    The points are ``before``, ``between``, ``after``, and ``follow`` for the averaged weights.
    """
    named = list(zip(run.config.members("compress"), run.constraints, strict=True))
    points: dict[str, list[tuple[str, Callable[[Moment], None]]]] = {}
    for point in ("before", "between", "after"):
        chosen = [(member["name"], getattr(constraint, point)) for member, constraint in named]
        points[point] = [(f"compression:{name}", act) for name, act in chosen if act is not nothing]

    def apply_all(point: str) -> None:
        if point == "follow":
            for _, constraint in named:
                if constraint.follow:
                    constraint.follow(run.average.model)
            return
        for name, act in points[point]:
            mark(name)
            act(run.moment)
            mark("bookkeeping")

    return apply_all


def _preparations(run: Run) -> list[Callable[[int], None]]:
    """Return what is to be done before each step, functions of the number of steps that were taken."""

    def weigh_teacher(step: int) -> None:
        run.teacher_weight.fill_(run.teacher.weight(step))

    freezing: list[Callable[[int], None]] = [run.freezer.begin] if run.freezer.active else []
    return [*freezing, weigh_teacher] if run.teacher.model is not None and not run.teacher.fixed else freezing


def _clip(run: Run, parameters: list[Tensor], mark: Mark) -> None:
    loop = run.config.loop
    if loop.clip_norm is None and loop.clip_value is None:
        return
    mark("clipping")
    run.scaler.unscale_(run.optimizer)
    if loop.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, loop.clip_value)
    if loop.clip_norm is not None:
        if is_sharded(run):
            clip_norm(run, parameters, loop.clip_norm)
        else:
            torch.nn.utils.clip_grad_norm_(parameters, loop.clip_norm)


def _require_finite(run: Run, loss: float, gradients: Sequence[Tensor | None]) -> None:
    if not math.isfinite(loss):
        raise NonFiniteError(f"the loss is {loss} {where(run)}", loss, gradients)
    if not gradients:
        return
    own = sum(float(part.double().square().sum()) for part in gradients if part is not None)
    squares = total_of(run, own)
    if not math.isfinite(squares):
        raise NonFiniteError(f"the gradient's norm is {math.sqrt(squares)} {where(run)}", loss, gradients)


def where(run: Run) -> str:
    """Return the current step, epoch and learning rate as text, for a message."""
    rate = run.optimizer.param_groups[0]["lr"]  # the rate that this step uses, whoever has set it
    return f"at step {run.state.step + 1} (epoch {run.epoch:.2f}, learning rate {rate:g})"
