"""A directory -> the files in it and in its subdirectories, each counted once. Imports no torch."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

# What systems and programs leave in directories; compared in lower case. Hidden names are ignored, too.
IGNORED = frozenset(
    {
        "thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin",
        "system volume information", "lost+found",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What a directory contains.

    Args:
        files: The files that are wanted, sorted.
        others: How many other files there are of each suffix.
        irregular: Wanted by their names, but links that lead nowhere, pipes or devices.
    """

    files: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    irregular: list[Path] = field(default_factory=list)


def ignored(name: str) -> bool:
    """Return whether a name is hidden, or one that systems and programs create by themselves.

    >>> ignored(".DS_Store"), ignored("Thumbs.db"), ignored("cat")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in IGNORED


def subfolders(folder: Path) -> list[Path]:
    """Return a directory's own subdirectories, sorted, without ignored ones; links to directories are among them."""
    return sorted(path for path in folder.iterdir() if not ignored(path.name) and path.is_dir())


def find(
    folder: Path,
    suffixes: Collection[str] | None,
    *,
    deep: bool = True,
    suffix_of: Callable[[Path], str] = lambda path: path.suffix.lower(),
) -> Found:
    """Find the files in a directory.

    Links are followed, but no directory is entered twice, nor one that contains ``folder``: links cannot lead in circles.

    Args:
        folder: The directory.
        suffixes: Of the files that are wanted, in lower case; None: all files.
        deep: Whether subdirectories are searched too.
        suffix_of: Returns the suffix that says what a file contains; of ``a.csv.gz``, ``.gz`` unless it knows better.
    """
    found = Found()
    entered = {_identity(parent) for path in (folder.absolute(), folder.resolve()) for parent in path.parents}
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        if (identity := _identity(place)) in entered:
            continue
        entered.add(identity)
        for path in sorted(place.iterdir(), reverse=True):
            if ignored(path.name):
                continue
            mode = _mode(path)
            wanted = suffixes is None or suffix_of(path) in suffixes
            if stat.S_ISDIR(mode):
                waiting.extend([path] if deep else [])
            elif not stat.S_ISREG(mode):
                found.irregular.extend([path] if wanted else [])
            elif wanted:
                found.files.append(path)
            else:
                found.others[path.suffix] += 1
    found.files.sort()
    found.irregular.sort()
    return found


def describe_others(others: Counter[str], most: int = 5) -> str:
    """Return how many files of each suffix there are, the most frequent first.

    >>> describe_others(Counter({".HEIC": 24, "": 2}))
    '24 .HEIC and 2 without a suffix'
    """
    ranked = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in ranked[:most]]
    if rest := sum(count for _, count in ranked[most:]):
        parts.append(f"{rest:,} of other types")
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _mode(path: Path) -> int:
    """Return what a path leads to; 0 for a link that leads nowhere, or in a circle."""
    try:
        return path.stat().st_mode
    except OSError:
        return os.lstat(path).st_mode
