"""Find the directory of a project: the nearest one with a `trainctl.yaml`, or with `[tool.trainctl]` in pyproject.toml.

Only the current directory and, inside a repository, its parents up to the root of the repository are looked at: what lies
above belongs to others. A file of another user is not a project of ours, wherever it is. Imports no Hydra, no torch.
"""

import os
import re
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.fileformat.place import is_file
from trainctl.fileformat.tree import LARGEST
from trainctl.fileformat.utf8 import read_text
from trainctl.settings import trust_store

NAMES = YAML, TOML = "trainctl.yaml", "pyproject.toml"
TABLE = re.compile(r"^\s*\[\s*tool\s*\.\s*trainctl\s*[\].]", re.MULTILINE)  # in pyproject.toml
REPOSITORY = (".git", ".hg", ".jj")


def project_file(here: Path | None = None) -> Path | None:
    """Return the file with the settings of the project around a directory, by default the current one; None without."""
    path = nearest(here)
    return path if path and _may_be_read(path) else None


def nearest(here: Path | None = None) -> Path | None:
    """Return the nearest file with the settings of a project, whoever owns it; None without."""
    for folder in _candidates(here or Path.cwd()):
        for name in NAMES:
            if is_ours(path := folder / name):
                return path
    return None


def is_ours(path: Path) -> bool:
    """Return whether a file has settings of a project: every trainctl.yaml, and a pyproject.toml with our table."""
    if not is_file(path):
        return False
    if path.name == YAML:
        return True
    try:
        return bool(TABLE.search(read_text(path, ConfigError, largest=LARGEST)))
    except ConfigError:
        return False  # a pyproject.toml of others may be anything


def left_out(here: Path | None = None) -> list[str]:
    """Return a note if the nearest file with settings of a project belongs to another user."""
    path = nearest(here)
    if path is None or _may_be_read(path):
        return []
    return [f"{path}: belongs to another user, so it is not read; to accept it, run `trainctl trust {path}`"]


def _candidates(here: Path) -> list[Path]:
    """Return a directory and its parents up to the root of its repository; without a repository it alone."""
    folders = [here, *here.parents]
    for index, folder in enumerate(folders):
        if any(os.path.lexists(folder / name) for name in REPOSITORY):
            return folders[: index + 1]
    return [here]


def _may_be_read(path: Path) -> bool:
    """Return whether a file is of this user or of the system, or was accepted by this user."""
    if not hasattr(os, "getuid"):
        return True
    try:
        owner = path.stat().st_uid
    except OSError:
        return False
    return owner in (os.getuid(), 0) or trust_store.accepted(path) is not None
