"""Your own images in tar files."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from trainctl.components.dataset._on_disk import images_on_disk
from trainctl.components.dataset.base import (
    Damaged,
    Dataset,
    Encoding,
    Keep,
    PathText,
    SchemaLike,
    Size,
    cache_directory,
)
from trainctl.errors import DataError
from trainctl.fileformat.image import suffixes
from trainctl.fileformat.image_files import Facts
from trainctl.fileformat.label import Codes
from trainctl.fileformat.packed import Packer, Source, packed
from trainctl.fileformat.packed_images import Images, mixed_order, pack
from trainctl.fileformat.parallel import ordered
from trainctl.fileformat.parquet import files_of
from trainctl.fileformat.pixels import PixelFormat
from trainctl.fileformat.place import required
from trainctl.fileformat.room import Room, choose
from trainctl.fileformat.tar_shards import LARGEST_LABEL, Member, index_of
from trainctl.fileformat.target import NO_CLASS, classes
from trainctl.wording import agree, amount, listed


def tar(
    *,
    path: PathText | None,
    label: str,
    size: Annotated[int, "[1, inf)"],
    channels: Literal[1, 3],
    background: Literal["white", "grey", "black", "ignore"],
    damaged: Damaged,
    keep: Keep,
    memory: Size | None,
    cache: PathText | None,
    schema: SchemaLike | None,
    unlabeled: bool = False,
    room: Room | None = None,
) -> Dataset:
    """Return your own images in tar files, as WebDataset writes them: ``0001.jpg`` and ``0001.cls`` are a sample.

    The tars are indexed and nothing is extracted. Images are decoded once, several at a time, converted to greyscale or
    RGB, and resized to a square; their pixels are kept in the cache, in a random order if the tars are sorted by class. A
    tar that is packed as a whole (``.tar.gz``) is refused, because its members cannot be read one by one.

    Args:
        path: A tar; a directory with tars; or a pattern such as ``'shards/train-*.tar'``.
        label: Ending of the files with the class of a sample: a number or a text.
        size: Height and width of the resized images [pixels].
        channels: 1 for greyscale, 3 for RGB.
        background: What is put behind transparent pixels: ``white``, ``grey`` or ``black``; ``ignore``: transparency is
            discarded.
        damaged: ``error``: images that cannot be read are listed, and the run does not start; ``skip``: it starts without
            them, with a note. Likewise for files that are damaged or end early, so that not all samples are found.
        keep: ``memory``: all images are in memory. ``disk``: they stay on disk, and are visited in windows of neighbouring
            images that are shuffled. ``auto``: on disk if they would take more than half of the memory that is free.
        memory: The most memory that images may take; null: half of what is free.
        cache: Directory of decoded images; null: ``~/.cache/trainctl/rows``.
        schema: A finished run's schema, which determines the classes. Supplied by ``assemble``.
        unlabeled: Whether samples without a label are training rows without a class. Supplied by ``assemble``: true with a
            teacher.
        room: The memory that is free. Supplied by ``assemble``.

    Returns:
        Images ``(N, channels, size, size)`` as uint8 and classes ``(N,)``.

    Raises:
        ConfigError: If ``path`` is null.
        DataError: If a tar is damaged, a sample has no image or no label, or images cannot be read.

    Source: T. Breuel, The WebDataset Format, 2022.
    """
    place = required("path", path, "'shards/*.tar'")
    shards = files_of(place, (".tar",))
    settings = ["tar", label, size, channels, background, damaged]
    directory = Path(cache) if cache else cache_directory("cache") / "rows"
    source = Source(shards, Path(place).name, settings, directory, place)
    to = PixelFormat(channels=channels, height=size, width=size, background=background)

    def write(packer: Packer) -> None:
        index = index_of(shards, suffixes(), label)
        if index.cut and damaged == "error":
            raise DataError(*index.cut, f"{place}: dataset.damaged=skip uses what comes before")
        if not index.images:
            raise DataError(f"{place}: has no images")
        words = [*ordered(_word, index.labels)]
        codes = np.unique(np.array(words), return_inverse=True)[1].reshape(-1)
        images = Images(
            source.name, len(words), lambda row: (index.images[row].path, index.images[row].read()), to, damaged
        )
        pack(packer, images, mixed_order(codes, [len(words)], channels * size * size))
        nameless = next((str(index.images[row].path) for row, word in enumerate(words) if not word), "")
        packer.facts |= {"words": words, "others": index.others, "shards": len(shards), "nameless": nameless}
        packer.facts["notes"] += index.cut

    found = packed(source, write)
    words = [str(found.facts["words"][row]) for row in found.targets.tolist()]
    present = [word for word in words if word]
    if len(present) < len(words) and not unlabeled:
        first = found.facts.get("nameless") or "unknown, as an earlier version converted it"
        raise DataError(
            f"{place}: {len(words) - len(present):,} of {amount(len(words), 'sample')}"
            f" {agree(len(words) - len(present), 'has', 'have')} no .{label}, or an empty one, first {first}:"
            " add their classes, or set dataset.label to the ending that has them"
        )
    names = schema.class_names if schema else classes(present) if present else ()
    if len(names) < 2:
        raise DataError(f"{place}: has only one class{f' ({names[0]})' if names else ''}")
    numbers = Codes(names)
    codes = [numbers.get(word) if word else NO_CLASS for word in words]
    if None in codes:
        word = words[codes.index(None)]
        raise DataError(f"{place}: {word} is not one of the run's classes ({listed(names, most=20)})")
    choice = choose(keep, memory, found.inputs.nbytes, room, len(found.inputs))
    others = found.facts["others"]
    notes = (f"{place}: {others:,} members are neither images nor .{label}, and are not used",) if others else ()
    line = (
        "images",
        f"{len(words):,} in {amount(found.facts['shards'], 'tar file')}, classes in .{label} (dataset.label)",
    )
    return images_on_disk(
        found,
        np.array(codes, np.int64),
        tuple(names),
        choice,
        lines=(line, *Facts.from_json(found.facts["images"]).lines(size, size, channels)),
        notes=notes,
        encoding=Encoding(),
    )


def _word(member: Member | None) -> str:
    """Return the text of a label; empty if there is none."""
    if member is None:
        return ""
    try:
        return member.read(LARGEST_LABEL).decode("utf-8").strip()
    except UnicodeDecodeError as error:  # replaced, two classes could become one
        raise DataError(f"{member.path}: byte {error.start} is not UTF-8") from error
