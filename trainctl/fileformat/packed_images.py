"""Many images -> rows of pixels on disk: each decoded once, several at a time. Imports no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.damage import Damage
from trainctl.fileformat.image import quiet, to_pixels
from trainctl.fileformat.image_files import Facts, Tally
from trainctl.fileformat.packed import Packer
from trainctl.fileformat.parallel import ordered
from trainctl.fileformat.pixels import PixelFormat, Seen
from trainctl.fileformat.rows_file import is_sorted_by_class, rows_in_block
from trainctl.fileformat.waiting import waiting

TOGETHER = 64  # images that are written at once


@dataclass(frozen=True)
class Images:
    """Images to convert.

    Args:
        where: The directory or files, for messages.
        count: How many there are.
        read: Returns the name of an image, for messages, and its bytes; raises DataError if it cannot be read.
        to: What they become.
        action: ``error`` or ``skip``, for damaged ones.
    """

    where: str
    count: int
    read: Callable[[int], tuple[Path, bytes]]
    to: PixelFormat
    action: str


def mixed_order(classes: np.ndarray, parts: Sequence[int], row_bytes: int) -> np.ndarray | None:
    """Return a random order of images that are sorted by class, each split by itself; None if they are not sorted.

    Args:
        classes: The class of each image ``(N,)``.
        parts: How many images each split has, in their order; all together are ``N``.
        row_bytes: Size of an image [bytes].
    """
    if not is_sorted_by_class(classes, -(-len(classes) // rows_in_block(row_bytes))):
        return None
    generator = np.random.default_rng(0)
    starts = np.cumsum([0, *parts])
    return np.concatenate([start + generator.permutation(size) for start, size in zip(starts, parts, strict=False)])


def pack(packer: Packer, images: Images, order: np.ndarray | None) -> None:
    """Decode images and write their pixels; the targets are the numbers of those that could be read.

    Args:
        packer: Where rows are written; its fact ``images`` says what they were.
        images: The images.
        order: In which order; None: as they are.

    Raises:
        DataError: If images cannot be read, and are not to be skipped.
    """
    to = images.to
    writer = packer.writer("inputs", (to.channels, to.height, to.width), np.uint8)
    tally, kept = Tally(), []
    damaged: list[tuple[int, str]] = []
    numbers = np.arange(images.count) if order is None else order
    pending: list[np.ndarray] = []

    def decode(row: int) -> tuple[np.ndarray, Seen] | tuple[str, str]:
        name = Path(images.where)
        try:
            name, content = images.read(row)
            return to_pixels(name, content, to)
        except DataError as error:
            return str(error), str(error).removeprefix(f"{name}: ")

    try:
        with waiting(f"decoding {images.where}", images.count, "images") as wait, quiet():
            for row, found in zip(numbers.tolist(), ordered(decode, numbers.tolist()), strict=True):
                wait.advance()
                if isinstance(found[0], str):
                    damaged.append((row, found[0]))
                    continue
                pending.append(found[0])
                tally.add(found[1])
                kept.append(row)
                if len(pending) == TOGETHER:
                    writer.add(np.stack(pending))
                    pending.clear()
        if pending:
            writer.add(np.stack(pending))
        damage = Damage(images.where, "images", images.action, [DataError(why) for _, why in sorted(damaged)])
        damage.check(images.count)
        packer.inputs = writer.close()
    finally:
        writer.abandon()
    packer.add_targets(np.array(kept, dtype=np.int64))
    facts = replace(tally.facts, damaged=tuple(sorted(damaged)), pixel_range=to.pixel_range)
    packer.facts |= {"images": Facts.to_json(facts), "notes": [*damage.notes], "shuffled": order is not None}
