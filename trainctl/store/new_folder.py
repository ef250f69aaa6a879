"""A directory of results that appears whole or not at all. Imports no torch."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trainctl.errors import StorageError
from trainctl.store import directories, files, runfile, runpath
from trainctl.store.runpath import AnyPath, RunPath


@dataclass
class Filling:
    """A directory that is being filled.

    Args:
        folder: Where to write.
        path: What it is called at the end; None until then.
    """

    folder: AnyPath
    path: AnyPath | None = None


@contextmanager
def filled(target: AnyPath, *, numbered: bool = False) -> Iterator[Filling]:
    """Yield a new directory to write files to; it gets its name at the end of the block, and is removed if that fails.

    The directories above a :class:`~pathlib.Path` are created; below a run, no link is followed.

    Args:
        target: The directory's path, which must not exist. If numbered, the directory that contains it.
        numbered: Whether it is called ``1``, ``2``, ... after those that exist at the end.

    Raises:
        StorageError: If it cannot be created, or exists by now.
    """
    parent = target if numbered else target.parent
    if isinstance(parent, RunPath) and (kind := runpath.kind(parent)) not in ("", "a directory"):
        advice = "; nothing in a run directory may be a link" if kind == "a link" else ""
        raise StorageError(f"{parent}: is {kind}, not a directory{advice}")
    directories.ensure_directory(parent)
    filling = Filling(parent / f".trainctl-{secrets.token_hex(8)}.tmp")
    try:
        directories.make_directory(filling.folder)
    except OSError as error:
        if numbered:
            directories.remove_if_empty(parent)
        raise StorageError(f"{parent}: cannot create a directory in it: {error.strerror}") from error
    try:
        yield filling
        final = parent / _next(parent) if numbered else target
        if runpath.status(final) is not None:
            raise StorageError(f"{final}: already exists")
        files.rename(filling.folder, final)
        filling.path = final
    except BaseException:
        directories.remove_directory(filling.folder)
        if numbered:
            directories.remove_if_empty(parent)
        raise


def _next(folder: AnyPath) -> str:
    """Return the first number above all that are names in a directory."""
    taken = [int(name) for name in runfile.names(folder) if name.isascii() and name.isdecimal() and len(name) < 10]
    return str(max(taken, default=0) + 1)
