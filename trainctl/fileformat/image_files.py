"""Many image files -> their pixels in one array, decoded once and kept in a cache on disk. Imports no torch."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.image import image_range, quiet, read_bytes, to_pixels
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.parallel import ordered
from trainctl.fileformat.pixel_cache import PixelCache, status_of
from trainctl.fileformat.pixels import Background, PixelFormat, Seen

Range = tuple[float, float] | Literal["auto"] | None
GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # Pillow's names of pixels without colour
MODES = {
    "1": "black and white", "L": "grey", "LA": "grey with transparency", "RGBA": "RGB with transparency",
    "P": "palette", "I;16": "grey of 16 bits", "I;16B": "grey of 16 bits", "I": "grey of 32 bits", "F": "grey of 32 bits",
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """How image files are converted.

    Args:
        channels: 1 for grey, 3 for RGB.
        size: Height and width [pixels].
        background: What lies behind transparent pixels.
        pixel_range: Of images of more than 8 bits; ``auto``: from their smallest to their largest value.
        measured: How many files, from the first on, ``auto`` looks at: those for training.
        skip: Whether damaged files are skipped; otherwise one damaged file means that no image is kept.
    """

    channels: int
    size: int
    background: Background
    pixel_range: Range
    measured: int
    skip: bool


@dataclass(frozen=True)
class Facts:
    """What the images were before their conversion.

    Args:
        damaged: The number of each file that cannot be read, and why.
        transparent: How many have transparent pixels.
        animated: How many have several frames or pages.
        deep: How many have more than 8 bits.
        low: The smallest value in those.
        high: The largest value in those.
        levels: How many of 256 levels are left of their values.
        pixel_range: The values that became 0 and 255 in those; None: 0..65535.
        sizes: The smallest width and height, and the largest [pixels]; empty if they are not known.
        modes: How many images have pixels of which kind, by Pillow's name.
    """

    damaged: tuple[tuple[int, str], ...] = ()
    transparent: int = 0
    animated: int = 0
    deep: int = 0
    low: float = 0.0
    high: float = 0.0
    levels: int = 0
    pixel_range: tuple[float, float] | None = None
    sizes: tuple[int, ...] = ()
    modes: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return vars(self) | {
            "damaged": [list(item) for item in self.damaged],
            "sizes": [*self.sizes],
            "modes": [list(item) for item in self.modes],
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Facts":
        """Return what :meth:`to_json` was called on."""
        found = content["pixel_range"]
        return cls(
            **content
            | {"damaged": tuple((int(row), str(why)) for row, why in content["damaged"])}
            | {"pixel_range": None if found is None else (float(found[0]), float(found[1]))}
            | {"sizes": tuple(map(int, content.get("sizes", ())))}
            | {"modes": tuple((str(mode), int(count)) for mode, count in content.get("modes", ()))}
        )

    def lines(self, width: int, height: int, channels: int) -> tuple[InferredLine, ...]:
        """Return sizes and modes, for the block at the start, and what becomes of them; nothing if they are not known.

        >>> Facts(sizes=(40, 30, 90, 80), modes=(("RGB", 8), ("L", 1))).lines(64, 64, 3)
        (('sizes', '40x30 to 90x80 pixels, resized to 64x64 (dataset.size)'), ('modes', 'RGB 8, grey 1'))
        >>> Facts(sizes=(8, 8, 8, 8), modes=(("RGB", 2),)).lines(8, 8, 1)
        (('sizes', '8x8 pixels'), ('modes', 'RGB, read as grey (dataset.channels)'))
        """
        if len(self.sizes) != 4 or not self.modes:
            return ()
        low, high, wanted = self.sizes[:2], self.sizes[2:], (width, height)
        ends = [f"{one}x{other}" for one, other in ((low, high)[: 1 + (low != high)])]
        resized = "" if low == high == wanted else f", resized to {width}x{height} (dataset.size)"
        ranked = sorted(self.modes, key=lambda pair: -pair[1])
        named = [MODES.get(mode, mode) + (f" {count:,}" if len(ranked) > 1 else "") for mode, count in ranked]
        grey = all(mode in GREY for mode, _ in ranked)
        read = {(1, False): ", read as grey (dataset.channels)", (3, True): ", read as RGB (dataset.channels)"}
        return ("sizes", f"{' to '.join(ends)} pixels{resized}"), (
            "modes",
            f"{', '.join(named)}{read.get((channels, grey), '')}",
        )


@dataclass
class Tally:
    """Facts, while they are collected."""

    facts: Facts = field(default_factory=Facts)
    levels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=bool))
    modes: Counter[str] = field(default_factory=Counter)

    def add(self, seen: Seen) -> None:
        """Count an image."""
        facts = self.facts
        facts = replace(
            facts, transparent=facts.transparent + seen.transparent, animated=facts.animated + seen.animated
        )
        if seen.low is not None and seen.high is not None and seen.levels is not None:
            self.levels |= seen.levels
            low, high = (min(facts.low, seen.low), max(facts.high, seen.high)) if facts.deep else (seen.low, seen.high)
            facts = replace(facts, deep=facts.deep + 1, low=low, high=high, levels=int(self.levels.sum()))
        if seen.size is not None:
            self.modes[seen.mode] += 1
            width, height = seen.size
            known = facts.sizes or (width, height, width, height)
            sizes = (min(known[0], width), min(known[1], height), max(known[2], width), max(known[3], height))
            facts = replace(facts, sizes=sizes, modes=tuple(self.modes.items()))
        self.facts = facts


def read_images(files: Sequence[Path], root: Path, wanted: Wanted, directory: Path) -> tuple[np.ndarray, Facts]:
    """Return the pixels of all files that can be read, in their order, and what was found out about them.

    Args:
        files: The files.
        root: The directory in which they are.
        wanted: What is to become of them.
        directory: Of the cache.

    Returns:
        Pixels ``(N, channels, size, size)`` as uint8, without the damaged files.
    """
    shape = (wanted.channels, wanted.size, wanted.size)
    names = [os.fsencode(file.relative_to(root)) for file in files]
    settings = f"{wanted.channels} {wanted.size} {wanted.background} {wanted.pixel_range}"
    cache = PixelCache(directory, root, settings)
    part = b"%d" % wanted.measured if wanted.pixel_range == "auto" else b""
    status = status_of(files, names, part)
    if hit := _checked(cache.find("status", status.digest, shape), len(files)):
        return hit
    if cache.exists():  # the files may be the same, with new times
        content = hashlib.sha256(part)
        for file, name in zip(files, names, strict=True):
            content.update(_signature(name, _bytes_or_reason(file)))
        if hit := _checked(cache.find("content", content.hexdigest(), shape), len(files)):
            cache.remember(content.hexdigest(), status)
            return hit
    pixels, facts, digest = _decode(files, names, wanted, part)
    if wanted.skip or not facts.damaged:
        cache.write(digest, status, pixels, facts.to_json())
    return pixels, facts


def _checked(hit: tuple[np.ndarray, dict[str, Any]] | None, files: int) -> tuple[np.ndarray, Facts] | None:
    """Return what the cache has if it has a row or a reason for each file; None otherwise."""
    if hit is None:
        return None
    if "sizes" not in hit[1]:  # of an older version
        return None
    try:
        facts = Facts.from_json(hit[1])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None
    return (hit[0], facts) if len(hit[0]) + len(facts.damaged) == files else None


def _decode(
    files: Sequence[Path], names: Sequence[bytes], wanted: Wanted, part: bytes
) -> tuple[np.ndarray, Facts, str]:
    """Decode all files; return pixels, facts, and a digest of the bytes that were decoded."""
    limits = wanted.pixel_range
    pixel_range = measured(files[: wanted.measured]) if limits == "auto" else limits
    to = PixelFormat(
        channels=wanted.channels, height=wanted.size, width=wanted.size, background=wanted.background,
        pixel_range=pixel_range,
    )  # fmt: skip
    pixels = np.empty((len(files), wanted.channels, wanted.size, wanted.size), dtype=np.uint8)
    tally, digest = Tally(), hashlib.sha256(part)
    damaged: list[tuple[int, str]] = []

    def decode(row: int) -> tuple[bytes, np.ndarray | None, Seen, str]:
        content = _bytes_or_reason(files[row])
        signature = _signature(names[row], content)
        try:
            if isinstance(content, DataError):
                raise content
            return signature, *to_pixels(files[row], content, to), ""
        except DataError as error:
            return signature, None, Seen(), str(error).removeprefix(f"{files[row]}: ")

    with quiet():
        for row, (signature, decoded, seen, why) in enumerate(ordered(decode, range(len(files)))):
            digest.update(signature)
            if decoded is None:
                damaged.append((row, why))
                continue
            pixels[row - len(damaged)] = decoded
            tally.add(seen)
    facts = replace(tally.facts, damaged=tuple(damaged), pixel_range=pixel_range)
    return pixels[: len(files) - len(damaged)], facts, digest.hexdigest()


def measured(files: Sequence[Path]) -> tuple[float, float] | None:
    """Return the smallest and largest value of all images of more than 8 bits; None if there are none."""

    def range_of(file: Path) -> tuple[float, float] | None:
        try:
            return image_range(file)
        except DataError:
            return None  # reported when it is decoded

    with quiet():
        ranges = [found for found in ordered(range_of, files) if found is not None]
    low, high = min((low for low, _ in ranges), default=0.0), max((high for _, high in ranges), default=0.0)
    return (low, high) if low < high else None


def _bytes_or_reason(file: Path) -> bytes | DataError:
    try:
        return read_bytes(file)
    except DataError as error:
        return error


def _signature(name: bytes, content: bytes | DataError) -> bytes:
    """Return a digest of a file's name and bytes, or of the reason why it cannot be read."""
    inner = str(content).encode("utf-8", "surrogateescape") if isinstance(content, DataError) else content
    kind = b"error" if isinstance(content, DataError) else b"bytes"
    return hashlib.sha256(name).digest() + kind + hashlib.sha256(inner).digest()
