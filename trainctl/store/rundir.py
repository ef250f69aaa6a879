"""Create, find, read and write run directories. Imports no torch.

::

    <root>/<date>-<time>-<slug>-<hash>/
        config.yaml      resolved                  overrides.yaml   from the command line
        run.json         versions, git, host, data fingerprint, seed, model
        metrics.jsonl    one line per evaluation   log.txt          as on a plain terminal
        checkpoints/     see trainctl.store.checkpoint   summary.json     outcome, best and test metrics, time
        explain/<n>/     see trainctl.store.new_folder
        report.html      see trainctl.report.html
        plots/*.png      lock.json        while a process is writing, see trainctl.store.lock
        parents/<n>/     what is needed of the runs that it was made from, see trainctl.store.parents
    <root>/<date>-<time>-sweep-<hash>/
        sweep.json       the command and the points
        results.csv      one line per trial
        <number>-<slug>/ a run directory per trial
"""

import errno
import json
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from trainctl.errors import CheckpointError, ConfigError, StorageError
from trainctl.fileformat.tree import LARGEST, parse_tree
from trainctl.settings.config import Tree, slug
from trainctl.store import directories, files, operations, runfile, runpath
from trainctl.store.finding import all_runs, all_sweeps, find, is_run, looks_like, run_around, sweep_around
from trainctl.store.records import line, read_json, read_metrics, read_overrides
from trainctl.store.runpath import AnyPath
from trainctl.wording import shell_words

# Of the modules that this one is divided into, what the rest of the package uses.
__all__ = ["all_runs", "all_sweeps", "find", "line", "looks_like", "read_json", "read_metrics", "read_overrides"]

# Files that a crash may leave in a run directory: those of trainctl.store.files, and those of earlier versions.
LEFTOVERS = re.compile(
    r"\.trainctl-[0-9a-f]{16}\.tmp|rehearsal\.trainctl|lock\.json\.[0-9a-f]+"
    r"|((config|overrides)\.yaml|(run|summary)\.json|metrics\.jsonl|log\.txt|rehearsal\.trainctl|.*\.png)\.tmp"
)
NAMES = frozenset(
    {"config.yaml", "overrides.yaml", "run.json", "summary.json", "metrics.jsonl", "log.txt", "lock.json"}
    | {"nonfinite.json"}
)
FOLDERS = frozenset({"checkpoints", "plots", "tensorboard", "parents"})
# The names in these directories that are written, read or removed.
USED = re.compile(r"(step|last|best)-\d{8,}.*|.*\.png(\.tmp)?|events\.out\..*|\.trainctl-.*")
LARGEST_LOG = 1_000_000_000  # bytes

IGNORE = b"*\n"  # the .gitignore of a directory for runs


@cache
def version() -> str:
    """Return the version of trainctl; "checkout" if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("trainctl")
    except PackageNotFoundError:
        return "checkout"


def create(root: str | Path, label: str) -> Path:
    """Create a new directory ``<root>/<date>-<time>-<label>-<hash>`` that no other run has.

    Raises:
        ConfigError: If the root is itself a run directory, or the home directory of nobody.
        StorageError: If it cannot be created.
    """
    root = require_root(root)
    while True:
        directory = root / new_name(label)
        try:
            make(directory)
        except FileExistsError:
            continue
        return directory


def require_root(root: str | Path) -> Path:
    """Return `output.root` as a path; called before data are read, which may take long.

    Raises:
        ConfigError: If the root is itself a run directory, or the home directory of nobody.
        StorageError: If nothing may be created there.
    """
    path = root_of(root)
    if is_run(path):
        raise ConfigError(
            f"output.root={path} is a run directory; continue it with"
            f" {shell_words(['trainctl', 'resume', str(path)])}, or give another root"
        )
    nearest = next((each for each in (path, *path.parents) if os.path.isdir(each)), path)  # noqa: PTH112 - never raises
    if nearest.is_dir() and not os.access(nearest, os.W_OK | os.X_OK):
        read_only = os.statvfs(nearest).f_flag & os.ST_RDONLY
        why = os.strerror(errno.EROFS if read_only else errno.EACCES)
        raise StorageError(f"output.root={path}: no directory may be created in {nearest.absolute()}: {why}")
    return path


def root_of(root: str | Path) -> Path:
    """Return `output.root` as a path, a leading ``~`` expanded.

    Raises:
        ConfigError: If there is no such home directory.
    """
    path = os.path.expanduser(root)  # noqa: PTH111 - pathlib's raises
    if str(path).startswith("~"):
        raise ConfigError(
            f"output.root={root}: there is no such home directory; for a directory of that name give ./{root}"
        )
    return Path(path)


def new_name(label: str) -> str:
    """Return a name for a run directory, ``<date>-<time>-<label>-<hash>``."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(label)}-{secrets.token_hex(3)}"


def make(directory: Path, *, trial: bool = False) -> None:
    """Create a run directory, which must not exist yet, and its parents.

    Args:
        directory: The directory.
        trial: Whether it is a trial of the sweep that it is in.

    Raises:
        FileExistsError: If it exists.
        ConfigError: If it would be inside another run, or inside a sweep whose trial it is not.
        StorageError: If it cannot be created.
    """
    if around := run_around(directory):
        raise ConfigError(
            f"{directory}: would be inside the run {around}, which does not change; give another directory"
        )
    if not trial and (sweep := sweep_around(directory)):
        raise ConfigError(
            f"{directory}: would be inside the sweep {sweep}, and be removed with it; give another directory"
        )
    try:
        _make_root(directory.parent)
        directories.make_directory(directory)
    except FileExistsError:
        if directory.exists():
            raise
        raise StorageError(f"{directory.parent}: not a directory, so no run can be created there") from None
    except OSError as error:
        raise StorageError(f"{directory}: cannot create directory: {error.strerror}") from error


def _make_root(root: Path) -> None:
    """Create a directory for runs that Git ignores, and its parents; other processes may do so at the same time."""
    if root.is_dir():
        return
    for parent in reversed(root.parents):
        if not parent.exists():
            with suppress(FileExistsError):
                directories.make_directory(parent)
    try:
        directories.make_directory(root)
    except FileExistsError:
        if not root.is_dir():
            raise
        return
    files.create(root / ".gitignore", IGNORE)


def remove(directory: Path) -> None:
    """Remove a run directory, and its root if no other run is left in it."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)
    root = directory.parent
    with suppress(OSError):
        if {path.name for path in root.iterdir()} == {".gitignore"}:
            if (root / ".gitignore").read_bytes() != IGNORE:
                return  # the user wrote this file
            (root / ".gitignore").unlink()
            root.rmdir()  # fails if another run has been created meanwhile


def prepare(directory: AnyPath) -> None:
    """Make a run directory ready to be written to; call it only while holding the lock.

    Temporary files of a process that was killed are removed. A log that has a second name, as in a copy with hard links,
    gets a file of its own.

    Raises:
        StorageError: If the log cannot be written.
    """
    held = runpath.hold(directory)
    for folder in (held, held / "checkpoints", held / "plots"):
        for name in runfile.names(folder):
            if operations.TEMPORARY.fullmatch(name) or LEFTOVERS.fullmatch(name):
                files.remove(folder / name)
    log = held / "log.txt"
    if (found := runpath.status(log)) and found.st_nlink > 1:
        files.write_bytes(log, runfile.read_bytes(log, LARGEST_LOG))


def require_plain(directory: AnyPath) -> None:
    """Check that the names which a run uses are those of regular files and directories, before anything is written.

    Raises:
        CheckpointError: If one of them is a link, a pipe, a device or the like; names it.
    """
    held = runpath.hold(directory)
    for name in runfile.names(held):
        wanted = "a file" if name in NAMES or LEFTOVERS.fullmatch(name) else "a directory" if name in FOLDERS else ""
        if wanted and runpath.kind(held / name) != wanted:
            raise runpath.unreadable(held / name, OSError(), wanted)
        for inside in runfile.names(held / name) if wanted == "a directory" else ():
            if USED.fullmatch(inside) and runpath.kind(held / name / inside) != "a file":
                raise runpath.unreadable(held / name / inside, OSError())


def write(path: AnyPath, text: str) -> None:
    """Write a text file atomically.

    Raises:
        StorageError: If it cannot be written.
    """
    files.write_bytes(path, text.encode(errors="backslashreplace"))  # for names that are not valid UTF-8


def write_config(directory: AnyPath, tree: Tree, overrides: Sequence[str]) -> None:
    """Write `config.yaml` and `overrides.yaml`."""
    write(directory / "config.yaml", config_text(tree))
    write(directory / "overrides.yaml", yaml.safe_dump(list(overrides), allow_unicode=True))


def config_text(tree: Tree) -> str:
    """Return the content of `config.yaml`."""
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def read_config(directory: AnyPath) -> Tree:
    """Read `config.yaml`; the caller has to give the packages of components again.

    Returns:
        A tree whose keys are texts, and whose values are what JSON has, too.

    Raises:
        CheckpointError: If it is missing or damaged, or is not a regular file.
    """
    path = runpath.hold(directory) / "config.yaml"
    tree = parse_tree(runfile.read_bytes(path, LARGEST), path.path, CheckpointError)
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path}: damaged (not a mapping of settings)")
    if wrong := _not_plain(tree, ""):
        raise CheckpointError(f"{path}: damaged ({wrong})")
    return tree


def _not_plain(value: object, where: str) -> str:
    """Return which part of a tree is not a mapping with texts as keys, a list, or a plain value; empty if all are."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"{where}{key!r}: expected a string as key"
            if wrong := _not_plain(item, f"{where}{key}."):
                return wrong
    elif isinstance(value, list):
        return next((wrong for item in value if (wrong := _not_plain(item, where))), "")
    elif not isinstance(value, str | int | float | NoneType):  # bool is int
        return f"{where.rstrip('.')}: unexpected {type(value).__name__}"
    return ""


def write_json(path: AnyPath, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # a name that is not valid UTF-8
            text = json.dumps(content, indent=2)
    write(path, text + "\n")
