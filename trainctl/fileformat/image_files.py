"""Many image files -> their pixels in one array, decoded once and kept in a cache on disk. Imports no torch."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.image import image_range, quiet, read_bytes, to_pixels
from trainctl.fileformat.parallel import ordered
from trainctl.fileformat.pixel_cache import PixelCache, status_of
from trainctl.fileformat.pixels import Background, PixelFormat, Seen

Range = tuple[float, float] | Literal["auto"] | None


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
    """

    damaged: tuple[tuple[int, str], ...] = ()
    transparent: int = 0
    animated: int = 0
    deep: int = 0
    low: float = 0.0
    high: float = 0.0
    levels: int = 0
    pixel_range: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return vars(self) | {"damaged": [list(item) for item in self.damaged]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Facts":
        """Return what :meth:`to_json` was called on."""
        found = content["pixel_range"]
        return cls(
            **content
            | {"damaged": tuple((int(row), str(why)) for row, why in content["damaged"])}
            | {"pixel_range": None if found is None else (float(found[0]), float(found[1]))}
        )


@dataclass
class Tally:
    """Facts, while they are collected."""

    facts: Facts = field(default_factory=Facts)
    levels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=bool))

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
