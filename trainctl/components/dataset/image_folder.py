"""Your own images, in one folder for each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch

from trainctl.components.dataset._on_disk import images_on_disk
from trainctl.components.dataset.base import (
    Damaged,
    Dataset,
    Encoding,
    Keep,
    PathText,
    SchemaLike,
    Size,
    SplitFolders,
    cache_directory,
)
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.class_folders import NO_NAME, ClassFiles, Layout, read_class_folders
from trainctl.fileformat.damage import Damage
from trainctl.fileformat.image import HEIF, HEIF_HINT, read_bytes, suffixes
from trainctl.fileformat.image_files import Facts, Wanted, measured, read_images
from trainctl.fileformat.packed import Packer, Source, packed
from trainctl.fileformat.packed_images import Images, mixed_order, pack
from trainctl.fileformat.pixels import TOP, PixelFormat
from trainctl.fileformat.place import check_directory, required
from trainctl.fileformat.room import Choice, Room, choose
from trainctl.fileformat.target import NO_CLASS
from trainctl.wording import amount


def image_folder(
    *,
    path: PathText | None,
    size: Annotated[int, "[1, inf)"],
    channels: Literal[1, 3],
    background: Literal["white", "grey", "black", "ignore"],
    range: tuple[float, float] | Literal["auto"] | None,
    splits: SplitFolders,
    drop: list[str],
    damaged: Damaged,
    cache: PathText | None,
    keep: Keep,
    memory: Size | None,
    schema: SchemaLike | None,
    unlabeled: bool = False,
    room: Room | None = None,
) -> Dataset:
    """Return your own images: ``<path>/<class>/**/*.png``, or ``<path>/train/<class>/**/*.png``.

    A class contains all images in its folder and below it. In the second layout, ``val`` (or ``valid``,
    ``validation``, ``dev``) and ``test`` next to ``train`` are the other splits. Images are rotated according to their
    EXIF data, converted to greyscale or RGB, and resized to a square; of an animation, the first frame is used. Hidden
    files and files of other types are not used; the number of the latter is reported. Links to directories are
    followed, but no directory is read twice.

    Images are decoded once, several at a time. The cache is found by the content of the files: all their bytes are read
    again if the size, a time or the inode of one of them is not as it was. It replaces an older one of the same directory
    and settings.

    Args:
        path: The directory.
        size: Height and width of the resized images [pixels].
        channels: 1 for greyscale, 3 for RGB.
        background: What is put behind transparent pixels: ``white``, ``grey`` or ``black``. ``ignore``: transparency is
            discarded, and what shows are the colours that the file stores there, often an arbitrary one.
        range: The values ``[low, high]`` that become 0 and 255 in images of more than 8 bits, such as ``[0, 4095]`` for
            12 bits; values beyond them are clipped. ``auto``: the smallest and the largest value of the training images
            (of all images, if the folders are no splits). null: 0..65535; needs 16 bits.
        splits: ``auto``: ``train`` with folders in it, and ``val`` and ``test`` next to it, are splits. ``folders``: these
            names are always splits. ``none``: every folder is a class.
        drop: Names of folders that are neither classes nor splits.
        damaged: ``error``: images that cannot be read are listed, and the run does not start; ``skip``: it starts
            without them, with a note.
        cache: Directory of decoded images; null: ``~/.cache/trainctl/images``, or ``rows`` for those that stay on disk.
        keep: ``memory``: all images are in memory. ``disk``: they stay on disk, and are visited in windows of neighbouring
            images that are shuffled. ``auto``: on disk if they would take more than half of the memory that is free.
        memory: The most memory that images may take; null: half of what is free.
        schema: A finished run's schema, which determines the classes and the range. Supplied by ``assemble``.
        unlabeled: Whether images in a folder called ``unlabeled``, in ``path`` or in ``train``, are training rows without a
            class; if not, it is a class. Supplied by ``assemble``: true with a teacher.
        room: The memory that is free. Supplied by ``assemble``.

    Returns:
        Images ``(N, channels, size, size)`` as uint8 and classes ``(N,)``, named after the folders.

    Raises:
        ConfigError: If ``path`` is null, or ``range`` is empty.
        DataError: If there are no images, a folder has none, an image cannot be read, or splits have different classes.

    Source: torchvision, ``ImageFolder`` (the layout).
    """
    root = Path(required("path", path, "DIRECTORY"))
    check_directory(root)
    if isinstance(range, list | tuple) and range[0] >= range[1]:
        raise ConfigError(f"dataset.range=[{range[0]:g},{range[1]:g}]: the first value must be below the second")
    found = read_class_folders(
        root,
        Layout("images", suffixes(), splits, drop, schema.class_names if schema else None, _hints(), unlabeled),
    )
    training = len(found.files) - found.val - found.test
    limits = schema.encoding.pixel_range if schema and range == "auto" else range
    wanted = Wanted(
        channels=channels,
        size=size,
        background=background,
        pixel_range=limits if limits is None or limits == "auto" else (limits[0], limits[1]),
        measured=training,
        skip=damaged == "skip",
    )
    choice = choose(keep, memory, len(found.files) * channels * size * size, room, len(found.files))
    if choice.disk:
        return _on_disk(
            root, found, wanted, Path(cache) if cache else cache_directory("cache") / "rows", schema, choice
        )
    directory = Path(cache) if cache else cache_directory("cache") / "images"
    pixels, facts = read_images(found.files, root, wanted, directory)
    damage = Damage(
        str(root), "images", damaged, [DataError(f"{found.files[row]}: {why}") for row, why in facts.damaged]
    )
    damage.check(len(found.files))
    lost = {row for row, _ in facts.damaged}
    kept = [name for row, name in enumerate(found.classes) if row not in lost]
    files = [file for row, file in enumerate(found.files) if row not in lost]
    if not schema and (empty := [name for name in found.names if name not in kept]):
        raise DataError(f"{root}: class {empty[0]} has no image that can be read")
    return Dataset(
        inputs=torch.from_numpy(pixels),
        targets=torch.tensor([found.names.index(name) if name != NO_NAME else NO_CLASS for name in kept]),
        task="classification",
        class_names=found.names,
        val_rows=found.val - sum(training <= row < training + found.val for row in lost),
        test_rows=found.test - sum(row >= training + found.val for row in lost),
        encoding=Encoding(pixel_range=facts.pixel_range),
        files=_below(root, files),
        notes=(*found.notes, *damage.notes, *_notes(facts)),
        inferred=(*_inferred(found, facts, wanted), *choice.lines),
    )


def _on_disk(
    root: Path, found: ClassFiles, wanted: Wanted, cache: Path, schema: SchemaLike | None, choice: Choice
) -> Dataset:
    """Return images whose pixels stay on disk.

    Raises:
        DataError: If an image cannot be read, or a class has none that can.
    """
    training = len(found.files) - found.val - found.test
    source = Source(
        found.files, root.name, ["images", vars(wanted), found.classes, found.val, found.test], cache, str(root)
    )

    def write(packer: Packer) -> None:
        limits = measured(found.files[: wanted.measured]) if wanted.pixel_range == "auto" else wanted.pixel_range
        to = PixelFormat(
            channels=wanted.channels,
            height=wanted.size,
            width=wanted.size,
            background=wanted.background,
            pixel_range=limits,
        )
        images = Images(
            str(root), len(found.files), lambda row: (found.files[row], read_bytes(found.files[row])), to,
            "skip" if wanted.skip else "error",
        )  # fmt: skip
        codes = np.unique(np.array(found.classes), return_inverse=True)[1].reshape(-1)
        pack(packer, images, mixed_order(codes, [training, found.val, found.test], wanted.channels * wanted.size**2))

    rows = packed(source, write)
    facts, kept = Facts.from_json(rows.facts["images"]), rows.targets
    names = [found.classes[row] for row in kept.tolist()]
    if not schema and (empty := [name for name in found.names if name not in {*names}]):
        raise DataError(f"{root}: class {empty[0]} has no image that can be read")
    codes = [found.names.index(name) if name != NO_NAME else NO_CLASS for name in names]
    return images_on_disk(
        rows,
        np.array(codes, np.int64), found.names, choice,
        lines=_inferred(found, facts, wanted),
        notes=(*found.notes, *_notes(facts)),
        encoding=Encoding(pixel_range=facts.pixel_range),
        val_rows=int(((kept >= training) & (kept < training + found.val)).sum()),
        test_rows=int((kept >= training + found.val).sum()),
        files=_below(root, [found.files[row] for row in kept.tolist()]),
    )  # fmt: skip


def _below(root: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """Return the names of files below a directory."""
    return tuple(file.relative_to(root).as_posix() for file in files)


def _hints() -> dict[str, str]:
    """Return what to do about files that could be read."""
    return {suffix: HEIF_HINT for suffix in HEIF if suffix not in suffixes()}


def _notes(facts: Facts) -> list[str]:
    """Return what of the images may surprise, a line each."""
    notes = []
    spread = facts.high - facts.low
    if facts.deep and facts.pixel_range is None and 2 * spread < TOP:
        top = next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if facts.high < 2**bits)
        notes.append(
            f"images with 16 bits ({facts.deep:,}) use only {facts.low:g}..{facts.high:g} of 0..{TOP}, and so keep"
            f" {facts.levels} of 256 grey levels: set dataset.range=auto, or for example dataset.range=[0,{top}]"
        )
    if facts.animated:
        notes.append(f"only the first frame or page is used; images that have several: {facts.animated:,}")
    return notes


def _inferred(found: ClassFiles, facts: Facts, wanted: Wanted) -> tuple[tuple[str, str], ...]:
    """Return what was found in the directory, for the block at the start."""
    layout = "train, val and test are splits" if found.has_splits else "each folder is a class"
    parts = [f"{amount(len(found.files) - len(facts.damaged), 'file')}, {layout} (dataset.splits)"]
    if facts.transparent:
        ground = "transparency ignored" if wanted.background == "ignore" else f"put on {wanted.background}"
        parts.append(f"{facts.transparent:,} transparent, {ground} (dataset.background)")
    if facts.deep:
        low, high = facts.pixel_range or (0, TOP)
        parts.append(f"{facts.deep:,} of more than 8 bits, {low:g}..{high:g} become 0..255 (dataset.range)")
    return (("images", "; ".join(parts)), *facts.lines(wanted.size, wanted.size, wanted.channels))
