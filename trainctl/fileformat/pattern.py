"""Names on the command line -> the paths that they stand for: patterns such as photos/*.jpg. Imports no torch."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from trainctl.errors import DataError
from trainctl.fileformat.place import check_file, is_directory

STANDARD_INPUT = "-"
MARKS = frozenset("*?[")


def files_of(names: Iterable[str]) -> list[Path]:
    """Return the paths that names stand for, in their order; each file or directory exists.

    A shell expands a pattern unless it is quoted, or matches more files than fit on a command line. A name that exists is
    itself, whatever characters it contains. ``**`` stands for any number of directories.

    Raises:
        DataError: If a pattern matches nothing, or a file does not exist or is none.
    """
    paths: list[Path] = []
    for name in names:
        if name == STANDARD_INPUT or os.path.lexists(name) or not MARKS & set(name):
            paths.append(Path(name))
            continue
        found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - of any directory
        if not found:
            raise DataError(f"{name}: matches no file")
        paths += map(Path, found)
    for path in paths:
        if path != Path(STANDARD_INPUT) and not is_directory(path):
            check_file(path)
    return paths
