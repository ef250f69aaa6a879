"""A batch is divided into micro-batches, and each of them is augmented."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from trainctl.components.augment.base import Mixing
from trainctl.machine.device import derive
from trainctl.run.run import Run
from trainctl.step.part import Mark, Piece

Pieces = Callable[[Tensor, Tensor, Tensor | None], Iterable[Piece]]
Augmented = tuple[Tensor | None, tuple[Mixing, ...]]


def pieces_of(run: Run, mark: Mark) -> Pieces:
    """Return the function that divides a batch: ``(inputs, targets, what a teacher says or None) -> pieces``.

    Rows with and without a label are divided evenly, each by itself, so that every piece has its share of both. They are
    augmented separately, too, so that rows with a label are mixed only with each other. The parts of a step draw random
    numbers, which are a function of (seed, step), from one sequence.
    """
    augment, micro_batches = _augmentation(run, mark), run.config.loop.micro_batches
    only_unlabeled = run.teacher.only_unlabeled

    def pieces(inputs: Tensor, targets: Tensor, taught: Tensor | None) -> Iterable[Piece]:
        rows, labels, first = len(inputs), len(targets), 0
        if rows != labels:
            yield from mixed(inputs, targets, taught)
            return
        for x, y, said in _split((inputs, targets, taught), min(micro_batches, rows)):
            assert x is not None
            assert y is not None
            augmented, mixings = augment(x, first, unlabeled=False)
            share = len(x) / rows
            yield Piece(x, y, augmented, said, mixings, (), share, share)
            first += len(x)

    def mixed(inputs: Tensor, targets: Tensor, taught: Tensor | None) -> Iterable[Piece]:
        """Divide a batch of rows with and without a label."""
        labels, rows, first, second = len(targets), len(inputs), 0, 0
        parts = min(micro_batches, labels)
        total = rows - labels if only_unlabeled else rows
        said = (None, None) if taught is None else (taught[:labels], taught[labels:])
        divided = _split((inputs[:labels], targets, said[0]), parts), _split((inputs[labels:], said[1]), parts)
        for (x, y, known), (free, unknown) in zip(*divided, strict=True):
            assert x is not None
            assert y is not None
            assert free is not None
            one, mixings = augment(x, first, unlabeled=False)
            other, others = augment(free, second, unlabeled=True) if len(free) else (None, ())
            together = torch.cat([x, free])
            augmented = None if one is None else torch.cat([one, other]) if other is not None else one
            notes = None if known is None or unknown is None else torch.cat([known, unknown])
            spoken = len(free) if only_unlabeled else len(together)
            yield Piece(together, y, augmented, notes, mixings, others, len(x) / labels, spoken / total)
            first, second = first + len(x), second + len(free)

    return pieces


def _augmentation(run: Run, mark: Mark) -> Callable[..., Augmented]:
    """Return the function that augments rows: ``(inputs, position of the first row) -> (augmented or None, mixings)``.

    The position is counted among the rows with a label of the batch, or with ``unlabeled`` among those without one.
    """
    members = run.config.members("augment")
    if all(member["name"] == "none" for member in members):
        return lambda inputs, first, *, unlabeled: (None, ())
    generator = torch.Generator(run.device)
    changes: list[tuple[str, Callable[..., Any], bool]] = [
        (f"augmentation:{member['name']}", change, "visit" in inspect.signature(change).parameters)
        for member, change in zip(members, run.augment, strict=True)
    ]
    tracked = any(tracks for _, _, tracks in changes)

    def augment(inputs: Tensor, first: int, *, unlabeled: bool) -> Augmented:
        if first == 0 and not unlabeled:
            generator.manual_seed(derive(run.config.seed, run.state.step))
        order = run.order
        visit = {"visit": order.visit(run.state.step, first, len(inputs), unlabeled=unlabeled)} if tracked else {}
        mixings: list[Mixing] = []
        for name, change, tracks in changes:
            mark(name)
            changed = change(inputs, generator, **(visit if tracks else {}))
            inputs, mixing = changed if isinstance(changed, tuple) else (changed, None)
            mixings += [mixing] if mixing else []
            mark("bookkeeping")
        return inputs, tuple(mixings)

    return augment


def _split(tensors: tuple[Tensor | None, ...], parts: int) -> Iterable[tuple[Tensor | None, ...]]:
    """Divide each tensor into as many parts, the first ones a row longer if they cannot be equal."""
    if parts == 1:
        return (tensors,)
    divided = [[None] * parts if tensor is None else tensor.tensor_split(parts) for tensor in tensors]
    return zip(*divided, strict=True)
