"""The rows of a batch become pieces, one for each of its parts, and each piece is augmented."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from trainctl.components.augment.base import Mixing
from trainctl.machine.device import derive, seed_generators
from trainctl.run.run import Run
from trainctl.step.part import Mark, Piece
from trainctl.step.tree import run_of

Pieces = Callable[[Tensor, Tensor, Tensor | None], Iterable[Piece]]
Augmented = tuple[Tensor | None, tuple[Mixing, ...]]
PARTS = 5  # so that the seeds of parts differ from those of steps and epochs


def pieces_of(run: Run, mark: Mark) -> Pieces:
    """Return the function that divides a batch: ``(inputs, targets, what a teacher says or None) -> pieces``.

    Of several processes, each gets a run of neighbouring pieces. Rows with and without a label are divided evenly, each by
    itself, so that every piece has its share of both. They are augmented separately, too, so that rows with a label are
    mixed only with each other. The random numbers of a batch that is not divided are a function of (seed, step), those of a
    piece of (seed, step, its number).
    """
    augment, micro_batches, world = _augmentation(run, mark), run.config.loop.micro_batches, run.world
    only_unlabeled, begin = run.teacher.only_unlabeled, _beginning(run)

    def pieces(inputs: Tensor, targets: Tensor, taught: Tensor | None) -> Iterable[Piece]:
        rows, labels = len(inputs), len(targets)
        parts = min(micro_batches, labels)
        mine = run_of(world.rank, world.size, parts)
        if rows != labels:
            yield from mixed(inputs, targets, taught, parts, mine)
            return
        for part, first, (x, y, said) in _split((inputs, targets, taught), parts, mine):
            assert x is not None
            assert y is not None
            seed = begin(part)
            augmented, mixings = augment(x, first, seed, unlabeled=False)
            share = len(x) / rows
            yield Piece(x, y, augmented, said, mixings, (), share, share)

    def mixed(inputs: Tensor, targets: Tensor, taught: Tensor | None, parts: int, mine: range) -> Iterable[Piece]:
        """Divide a batch of rows with and without a label."""
        labels, rows = len(targets), len(inputs)
        total = rows - labels if only_unlabeled else rows
        said = (None, None) if taught is None else (taught[:labels], taught[labels:])
        divided = (
            _split((inputs[:labels], targets, said[0]), parts, mine),
            _split((inputs[labels:], said[1]), parts, mine),
        )
        for (part, first, (x, y, known)), (_, second, (free, unknown)) in zip(*divided, strict=True):
            assert x is not None
            assert y is not None
            assert free is not None
            seed = begin(part)
            one, mixings = augment(x, first, seed, unlabeled=False)
            other, others = augment(free, second, seed, unlabeled=True) if len(free) else (None, ())
            together = torch.cat([x, free])
            augmented = None if one is None else torch.cat([one, other]) if other is not None else one
            notes = None if known is None or unknown is None else torch.cat([known, unknown])
            spoken = len(free) if only_unlabeled else len(together)
            yield Piece(together, y, augmented, notes, mixings, others, len(x) / labels, spoken / total)

    return pieces


def _beginning(run: Run) -> Callable[[int], int | None]:
    """Return the function that is called before a part, seeds the random generators for it, and returns its seed.

    The generators run on through a batch that is not divided, which has no such seed.
    """
    seed, own = run.config.seed, bool(run.config.components)
    if run.config.loop.micro_batches == 1:
        return lambda part: None

    def begin(part: int) -> int:
        number = derive(PARTS, seed, run.state.step, part)
        seed_generators(number, run.device, own=own)
        return number

    return begin


def _augmentation(run: Run, mark: Mark) -> Callable[..., Augmented]:
    """Return the function that augments rows: ``(inputs, position of the first row, seed) -> (augmented or None, mixings)``.

    The position is counted among the rows with a label of the batch, or with ``unlabeled`` among those without one, which
    continue the random numbers of those with a label.
    """
    members = run.config.members("augment")
    if all(member["name"] == "none" for member in members):
        return lambda inputs, first, seed, *, unlabeled: (None, ())
    generator = torch.Generator(run.device)
    changes: list[tuple[str, Callable[..., Any], bool]] = [
        (f"augmentation:{member['name']}", change, "visit" in inspect.signature(change).parameters)
        for member, change in zip(members, run.augment, strict=True)
    ]
    tracked = any(tracks for _, _, tracks in changes)

    def augment(inputs: Tensor, first: int, seed: int | None, *, unlabeled: bool) -> Augmented:
        if not unlabeled:
            generator.manual_seed(derive(run.config.seed, run.state.step) if seed is None else seed)
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


def _split(
    tensors: tuple[Tensor | None, ...], parts: int, mine: range
) -> Iterable[tuple[int, int, tuple[Tensor | None, ...]]]:
    """Divide each tensor into as many parts, the first ones a row longer if they cannot be equal.

    Yields:
        The number of a part in ``mine``, the position of its first row, and its tensors.
    """
    if parts == 1:
        return ((part, 0, tensors) for part in mine)
    divided = [[None] * parts if tensor is None else tensor.tensor_split(parts) for tensor in tensors]
    sizes = [0 if part is None else len(part) for part in divided[0]]
    return ((part, sum(sizes[:part]), tuple(each[part] for each in divided)) for part in mine)
