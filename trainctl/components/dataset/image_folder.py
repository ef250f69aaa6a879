"""Your own images, in one folder for each class."""

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
    """Return your own images: ``<path>/<class>/*.png``, or ``<path>/train/<class>/*.png``.

    In the second layout, ``val`` (or ``valid``, ``validation``) and ``test`` next to ``train`` are the other splits.
    Images are rotated according to their EXIF data, converted to greyscale or RGB, and resized to a square. They are
    decoded once: the pixels are cached on disk in a file whose name is a fingerprint of the images' names, sizes and
    times; it replaces an older cache file of the same directory, size and channels. Hidden files and files of other
    types are ignored.

    Args:
        path: The directory.
        size: Height and width of the resized images [pixels].
        channels: 1 for greyscale, 3 for RGB.
        cache: Directory of decoded images; null: ``~/.cache/trainctl/images``.
        schema: A finished run's schema, which determines the classes. Supplied by ``assemble``.

    Returns:
        Images ``(N, channels, size, size)`` as uint8 and classes ``(N,)``, named after the folders.

    Raises:
        ConfigError: If ``path`` is null.
        DataError: If there are no images, a folder has none, an image cannot be read, or splits have different classes.

    Source: torchvision, ``ImageFolder`` (the layout).
    """
    root = Path(required("path", path, "DIRECTORY"))
    check_directory(root)
    parts = [[root / "train"], *([root / name for name in names if (root / name).is_dir()] for names in (VAL, TEST))]
    if not (root / "train").is_dir():
        parts = [[root], [], []]
    splits = [[file for folder in folders for file in _files(folder)] for folders in parts]
    if not schema and (
        empty := [folder for folder in _classes(parts[0][0]) if not any(map(_is_image, folder.iterdir()))]
    ):
        raise DataError(f"{empty[0]}: contains no images; each folder is a class: remove it or add its images")
    names = schema.class_names if schema else tuple(sorted({file.parent.name for file in splits[0]}))
    if unprintable := [name for name in names if not name.isprintable()]:
        raise DataError(f"{parts[0][0]}: the folder name {unprintable[0]!r} contains characters that cannot be printed")
    if len(names) < 2:
        raise DataError(f"{parts[0][0]}: needs at least two classes, each a folder with images; contains {len(names)}")
    files = [file for split in splits for file in split]
    if foreign := [file for file in files if file.parent.name not in names]:
        raise DataError(f"{foreign[0]}: its folder is not one of the classes ({', '.join(names[:20])})")
    pixels = _decoded(files, root, size, channels, Path(cache) if cache else cache_directory("cache") / "images")
    return Dataset(
        inputs=torch.from_numpy(pixels),
        targets=torch.tensor([names.index(file.parent.name) for file in files]),
        task="classification",
        class_names=names,
        val_rows=len(splits[1]),
        test_rows=len(splits[2]),
    )


def _files(folder: Path) -> list[Path]:
    """Return the images in a directory's folders, sorted."""
    return sorted(file for subfolder in _classes(folder) for file in subfolder.iterdir() if _is_image(file))


def _classes(folder: Path) -> list[Path]:
    """Return a directory's folders except hidden ones, which other programs create."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()


def _decoded(files: list[Path], root: Path, size: int, channels: int, cache: Path) -> np.ndarray:
    """Return the pixels of all files, from the cache if it contains them; a failure to write the cache is ignored."""
    digest = hashlib.sha256(b"3 %b %d %d" % (os.fsencode(root), size, channels))
    prefix = digest.hexdigest()[:16]
    for file in files:
        status = file.stat()
        digest.update(b"\0%b\0%d\0%d" % (os.fsencode(file.relative_to(root)), status.st_size, status.st_mtime_ns))
    path = cache / f"{prefix}-{digest.hexdigest()[:32]}.pixels"
    pixels = np.empty((len(files), channels, size, size), dtype=np.uint8)
    if _read_cache(path, pixels):
        return pixels
    for row, file in enumerate(files):
        pixels[row] = read_image(file, channels, size, size)
    temporary = path.with_name(f"{path.stem}-{os.getpid()}.tmp")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as target:
            target.write(hashlib.sha256(pixels.data).digest())
            target.write(pixels.data)
        temporary.replace(path)
        for old in cache.glob(f"{prefix}-*.pixels"):  # of the same directory, size and channels
            if old != path:
                old.unlink()
    except OSError:
        with suppress(OSError):
            temporary.unlink()
    return pixels


def _read_cache(path: Path, pixels: np.ndarray) -> bool:
    """Read pixels from a cache file, which starts with their SHA-256; return whether it exists and is undamaged."""
    try:
        with path.open("rb") as file:
            digest = file.read(32)
            complete = file.readinto(pixels.data) == pixels.nbytes
    except OSError:
        return False
    return complete and hashlib.sha256(pixels.data).digest() == digest
