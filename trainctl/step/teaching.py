"""What a model learns from its teacher, computed with each part of a batch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.components.augment.base import Mixing
from trainctl.components.teacher.base import Distance
from trainctl.run.run import Run
from trainctl.step.part import Piece

# (part of a batch, its scaled inputs, the model's outputs) -> the outputs, and what is added to the loss or None
Teach = Callable[[Piece, Tensor, Tensor], tuple[Tensor, Tensor | None]]


def teaching(run: Run) -> Teach:
    """Return the function that lets a part of a batch learn from the teacher.

    Where a teacher's words are stored and rows are not mixed, the gradient of the outputs changes and nothing is added to
    the loss, see :func:`pulling`; elsewhere, the distance is added to the loss, see :func:`explaining`.
    """
    explain, pull = explaining(run), pulling(run)
    if explain is None:
        return lambda piece, inputs, outputs: (outputs, None)

    def teach(piece: Piece, inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        mixed_rows = piece.mixings or piece.unlabeled_mixings
        if pull is not None and piece.taught is not None and not mixed_rows:
            return pull(piece, outputs), None
        return outputs, explain(piece, inputs, outputs)

    return teach


def explaining(run: Run) -> Callable[[Piece, Tensor, Tensor], Tensor] | None:
    """Return the function that computes what a part of a batch learns from the teacher; None if there is no teacher.

    Its weight is a tensor that every step sets, because a recorded step would repeat a number.
    """
    teacher = run.teacher
    if teacher.model is None:
        return None
    model, modules = teacher.model, list(teacher.model.modules())

    def said(piece: Piece, inputs: Tensor) -> Tensor:
        """Return what the teacher says about the rows."""
        if piece.taught is not None:
            return piece.taught
        if not teacher.scales:
            rows = inputs if piece.augmented is None else run.data.input_scale(piece.inputs)
        else:
            rows = piece.inputs if piece.augmented is None or teacher.view == "plain" else piece.augmented
        with torch.no_grad(), evaluating(modules):
            return teacher.says(model(rows).float())

    def lesson(piece: Piece, inputs: Tensor, outputs: Tensor) -> Tensor:
        labels, words = len(piece.targets), said(piece, inputs)
        seen = teacher.view == "augmented" and piece.taught is None  # the rows that the teacher saw were mixed, too
        mixings, others = ((), ()) if seen else (piece.mixings, piece.unlabeled_mixings)
        parts = [] if teacher.only_unlabeled else [(outputs[:labels], words[:labels], mixings)]
        if len(outputs) > labels:
            parts.append((outputs[labels:], words[labels:], others))
        if not (mixings or others) and len(parts) == 2:
            parts = [(outputs, words, ())]
        if not parts:
            return outputs.new_zeros(())
        distances = [mixed(teacher.distance, *part) for part in parts]
        whole = distances[0] if len(distances) == 1 else torch.cat(distances)
        return whole.mean() * run.teacher_weight * piece.taught_share

    return lesson


class _Pulled(torch.autograd.Function):
    """Returns outputs unchanged; their gradient becomes ``weight * gradient + factor * direction``."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, weight: float, direction: Tensor, factor: float) -> Tensor:
        """Return the outputs."""
        ctx.save_for_backward(direction)
        ctx.weight, ctx.factor = weight, factor
        return outputs.view_as(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient of the outputs."""
        return (gradients[0] * ctx.weight).add_(ctx.saved_tensors[0], alpha=ctx.factor), None, None, None


def pulling(run: Run) -> Callable[[Piece, Tensor], Tensor] | None:
    """Return the function that lets a teacher's stored words change the gradient of a part's outputs; None if it cannot.

    Autograd would run four times as many kernels for the distance, which takes a third of the step of a small model. The
    gradient is the same. The loss of the part is that on the labels alone, which is finite if the distance is.
    """
    teacher = run.teacher
    if teacher.pull is None or not teacher.fixed or run.scaler.is_enabled():  # which scales the gradient
        return None
    pull, weight = teacher.pull, teacher.weight(0)

    def pulled(piece: Piece, outputs: Tensor) -> Tensor:
        assert piece.taught is not None
        direction, factor = pull(outputs.detach(), piece.taught)
        factor *= weight * piece.taught_share / len(outputs)
        changed: Tensor = _Pulled.apply(outputs, teacher.label_weight, direction, factor)
        return changed

    return pulled


def mixed(distance: Distance, outputs: Tensor, words: Tensor, mixings: Sequence[Mixing]) -> Tensor:
    """Return the distance of each row ``(N,)``; of mixed rows the mean of the distances for the rows in them.

    For all distances of the catalogue, its gradient is that of the distance to the mean of what is said about the rows.
    """
    parts = [(outputs.new_ones(()), words)]
    for mixing in mixings:
        parts = mixing.parts(parts)
    if not mixings:
        return distance(outputs, words)
    return torch.stack([share * distance(outputs, part) for share, part in parts]).sum(0)


@contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Set modules to evaluation mode, and those that were in training mode back at the end."""
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
