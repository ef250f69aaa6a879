"""Images of your own, in one folder for each class."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch

from trainctl.components.dataset.base import Dataset, PathText, SchemaLike, cache_directory, required
from trainctl.errors import DataError
from trainctl.fileformat.image import ENDINGS, read_image
from trainctl.fileformat.place import check_directory

VAL, TEST = ("val", "valid", "validation"), ("test",)


def image_folder(
    *,
    path: PathText | None,
    size: Annotated[int, "[1, inf)"],
    channels: Literal[1, 3],
    cache: PathText | None,
    schema: SchemaLike | None,
) -> Dataset:
    """Return the images below a directory: ``<path>/<class>/*.png``, or ``<path>/train/<class>/*.png``.

    Beside ``train``, ``val`` (or ``valid``, ``validation``) and ``test`` are the source's own splits. Images are turned
    upright, to grey or RGB, and scaled to a square. They are decoded once: the pixels lie in a cache on disk, whose
    name is a fingerprint of the files' names, sizes and times; a new one takes the place of the old one of the same
    directory, size and channels. Hidden files, and those of other kinds, are passed over.

    Args:
        path: The directory.
        size: Height and width of the result [pixels].
        channels: 1 for grey, 3 for RGB.
        cache: Directory of decoded images; null: ``~/.cache/trainctl/images``.
        schema: That of a finished run: its classes hold. Supplied by ``assemble``.

    Returns:
        Images ``(N, channels, size, size)`` as uint8 and classes ``(N,)``, named after the folders.

    Raises:
        ConfigError: If ``path`` is not given.
        DataError: If there are no images, also in a single folder, an image cannot be read, or splits have different classes.

    Source: torchvision, ``ImageFolder`` (the layout).
    """
    root = Path(required("path", path, "DIRECTORY"))
    check_directory(root)
    parts = [[root / "train"], *([root / name for name in names if (root / name).is_dir()] for names in (VAL, TEST))]
    if not (root / "train").is_dir():
        parts = [[root], [], []]
    found = [[file for folder in folders for file in _files(folder)] for folders in parts]
    if not schema and (empty := [place for place in _classes(parts[0][0]) if not any(map(_is_image, place.iterdir()))]):
        raise DataError(f"{empty[0]}: holds no images; each folder is a class: remove it, or put its images there")
    names = schema.class_names if schema else tuple(sorted({file.parent.name for file in found[0]}))
    if odd := [name for name in names if not name.isprintable()]:
        raise DataError(
            f"{parts[0][0]}: the folder {odd[0]!r} is no name for a class: it holds signs that cannot be shown"
        )
    if len(names) < 2:
        raise DataError(
            f"{parts[0][0]}: needs a folder with images for each of two classes or more, holds {len(names)}"
        )
    files = [file for part in found for file in part]
    if foreign := [file for file in files if file.parent.name not in names]:
        raise DataError(f"{foreign[0]}: its folder is none of the classes ({', '.join(names[:20])})")
    pixels = _decoded(files, root, size, channels, Path(cache) if cache else cache_directory("cache") / "images")
    return Dataset(
        inputs=torch.from_numpy(pixels),
        targets=torch.tensor([names.index(file.parent.name) for file in files]),
        task="classification",
        class_names=names,
        val_rows=len(found[1]),
        test_rows=len(found[2]),
    )


def _files(folder: Path) -> list[Path]:
    """Return the images in a directory's folders, sorted."""
    return sorted(file for place in _classes(folder) for file in place.iterdir() if _is_image(file))


def _classes(folder: Path) -> list[Path]:
    """Return a directory's folders, but hidden ones, which tools leave behind."""
    return sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()


def _decoded(files: list[Path], root: Path, size: int, channels: int, cache: Path) -> np.ndarray:
    """Return the pixels of all files, from the cache if they are there; a cache that cannot be written is no error."""
    digest = hashlib.sha256(b"3 %b %d %d" % (os.fsencode(root), size, channels))
    prefix = digest.hexdigest()[:16]
    for file in files:
        status = file.stat()
        digest.update(b"\0%b\0%d\0%d" % (os.fsencode(file.relative_to(root)), status.st_size, status.st_mtime_ns))
    place = cache / f"{prefix}-{digest.hexdigest()[:32]}.pixels"
    pixels = np.empty((len(files), channels, size, size), dtype=np.uint8)
    if _recall(place, pixels):
        return pixels
    for row, file in enumerate(files):
        pixels[row] = read_image(file, channels, size, size)
    temporary = place.with_name(f"{place.stem}-{os.getpid()}.tmp")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as target:
            target.write(hashlib.sha256(pixels.data).digest())
            target.write(pixels.data)
        temporary.replace(place)
        for old in cache.glob(f"{prefix}-*.pixels"):  # of the same directory, size and channels
            if old != place:
                old.unlink()
    except OSError:
        with suppress(OSError):
            temporary.unlink()
    return pixels


def _recall(place: Path, pixels: np.ndarray) -> bool:
    """Fill in the pixels that a cache holds after their SHA-256; say whether it is there and undamaged."""
    try:
        with place.open("rb") as file:
            digest = file.read(32)
            whole = file.readinto(pixels.data) == pixels.nbytes
    except OSError:
        return False
    return whole and hashlib.sha256(pixels.data).digest() == digest
