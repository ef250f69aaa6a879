"""Read image files as pixels of a given size."""

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.at_most import read_at_most
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.pixels import PixelFormat, Seen, convert, deep_values, is_deep
from trainctl.fileformat.place import check_file
from trainctl.fileformat.waiting import count_one

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 2**26  # 200 MB in memory; a small file may decompress to many more
MOST_BYTES = 2**30  # of a file; MOST_PIXELS of 16 bits in four channels take half of it
# Not every format of Pillow: for some it starts other programs, e.g. Ghostscript for .eps.
SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe", ".jif"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "WEBP": (".webp",),
}
AVIF = (".avif",)  # newer versions of Pillow can read it
HEIF = (".heic", ".heif")  # the package pillow-heif can read it
_quiet: list[bool] = []  # whether a block that shows no warnings runs
HEIF_HINT = "pip install 'trainctl[heic]' to read .heic"


@cache
def formats() -> dict[str, tuple[str, ...]]:
    """Return the formats that can be read here, by Pillow's names, each with its suffixes in lower case."""
    from PIL import features

    found = dict(SUFFIXES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an older Pillow does not know the feature
        if features.check("avif"):
            found["AVIF"] = AVIF
        try:
            import_module("pillow_heif").register_heif_opener()
        except Exception:  # noqa: BLE001 - not installed, or broken
            return found
    return found | {"HEIF": HEIF}


@cache
def suffixes() -> frozenset[str]:
    """Return the suffixes of images that can be read here, in lower case."""
    return frozenset(suffix for ends in formats().values() for suffix in ends)


def read_image(path: Path, to: PixelFormat) -> np.ndarray:
    """Read an image, rotate it by its EXIF data, convert it to greyscale or RGB, and resize it (bilinear).

    Args:
        path: The file.
        to: What it becomes.

    Returns:
        Pixels ``(channels, height, width)`` as uint8.

    Raises:
        DataError: If the image is damaged, truncated or too large.
    """
    return to_pixels(path, read_bytes(path), to)[0]


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file; Pillow decodes them from memory.

    When it reads from a file, Pillow trusts the size in a chunk's header.

    Raises:
        DataError: If it cannot be read or is too large.
    """
    check_file(path)
    with reading(path, what="cannot be read as an image"), path.open("rb") as file:
        content = read_at_most(file, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(f"{path}: is larger than {MOST_BYTES:,} bytes")
    return content


def to_pixels(path: Path, content: bytes, to: PixelFormat) -> tuple[np.ndarray, Seen]:
    """Return the pixels of an image, and what it was before it was converted.

    Args:
        path: The file, for messages.
        content: Its bytes.
        to: What it becomes.

    Raises:
        DataError: If the image is damaged, truncated or too large.
    """
    count_one("images")
    with _opened(path, content) as image:
        return convert(image, content, tuple(formats()), to)


def image_range(path: Path) -> tuple[float, float] | None:
    """Return the smallest and the largest value of an image with more than 8 bits; None for others.

    Raises:
        DataError: If the image is damaged, truncated or too large.
    """
    content = read_bytes(path)
    with _opened(path, content) as image:
        if not is_deep(image):
            return None
        values = deep_values(image, content, tuple(formats()))
        assert values is not None
        colours = values[..., : values.shape[-1] - (values.shape[-1] in (2, 4))] if values.ndim == 3 else values
        return float(colours.min()), float(colours.max())


@contextmanager
def quiet() -> Iterator[None]:
    """Show no warnings about transparency and unusual metadata in the block.

    Python's filters belong to the whole process, so threads that decode do this once, around all of them.
    """
    if _quiet:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _quiet.append(True)
        try:
            yield
        finally:
            _quiet.clear()


@contextmanager
def _opened(path: Path, content: bytes) -> "Iterator[Image.Image]":
    """Open an image, checked by its header; whatever Pillow raises in the block becomes a DataError."""
    from PIL import Image  # here, because most runs read no images

    with (
        reading(path, what="cannot be read as an image", explain=_explanation(path, content)),
        quiet(),
        Image.open(io.BytesIO(content), formats=tuple(formats())) as image,
    ):
        if image.width * image.height > MOST_PIXELS:
            raise Image.DecompressionBombError
        yield image


def _explanation(path: Path, content: bytes) -> Callable[[Exception], str | None]:
    def explain(error: Exception) -> str | None:
        pillow = sys.modules["PIL.Image"]
        if isinstance(error, pillow.DecompressionBombError):
            return f"{path}: has more than {MOST_PIXELS:,} pixels, by its header; scale it down, or remove it"
        if not content:
            return f"{path}: cannot be read as an image: it is empty"
        if isinstance(error, pillow.UnidentifiedImageError):
            return f"{path}: cannot be read as an image: it is not one of {', '.join(formats())}"
        return None

    return explain
