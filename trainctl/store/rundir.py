"""Where the runs are, and the files of a run directory. Imports no torch.

::

    <root>/<date>-<time>-<slug>-<hash>/
        config.yaml      resolved                  overrides.yaml   what was typed
        run.json         versions, git, host, data fingerprint, seed, model
        metrics.jsonl    one line per evaluation   log.txt          what a plain terminal shows
        checkpoints/     see trainctl.store.checkpoint   summary.json     outcome, best and test metrics, time
        plots/*.png      lock.json        while a process writes, see trainctl.store.lock
    <root>/<date>-<time>-sweep-<hash>/
        sweep.json       the command and its points
        results.csv      one line per trial
        <number>-<slug>/ a run directory each
"""

import json
import math
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from trainctl.errors import CheckpointError, ConfigError, StorageError
from trainctl.fileformat import json_text
from trainctl.fileformat.place import is_directory, is_file
from trainctl.fileformat.tree import read_tree
from trainctl.settings.config import Tree, slug
from trainctl.store import files

# What a crash may leave in a run directory, in addition to what trainctl.store.checkpoint removes.
LEFTOVERS = re.compile(
    r"((config|overrides)\.yaml|(run|summary)\.json|metrics\.jsonl|log\.txt|rehearsal\.trainctl)\.tmp"
    r"|rehearsal\.trainctl|lock\.json\.\d+"
)

IGNORE = b"*\n"  # the .gitignore of a directory for runs

LOOKS = {
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"\x89png": "an image",
    b"\xff\xd8\xff": "an image",
    b"gif8": "an image",
    b"pk\x03\x04": "a zip archive, as torch.save writes: pickled code, which trainctl never loads",
    b"\x80": "a pickle: code, which trainctl never loads",
    b"\x89hdf": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
    b"{": "a JSON file",
}


@cache
def version() -> str:
    """Return the version of trainctl that runs."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("trainctl")
    except PackageNotFoundError:
        return "checkout"


def create(root: str | Path, label: str) -> Path:
    """Create a new directory ``<root>/<date>-<time>-<label>-<hash>`` that no other run has.

    Raises:
        ConfigError: If the root is itself a run directory.
        StorageError: If it cannot be created.
    """
    with suppress(OSError):  # a name that is too long, for example: reported below
        if (Path(root) / "config.yaml").exists():
            raise ConfigError(
                f"output.root={root} is a run directory; continue it with trainctl resume {root}, or give another root"
            )
    stamp = time.strftime("%Y%m%d-%H%M%S")
    while True:
        directory = Path(root) / f"{stamp}-{slug(label)}-{secrets.token_hex(3)}"
        try:
            make(directory)
        except FileExistsError:
            continue
        return directory


def make(directory: Path) -> None:
    """Create a run directory, which must not exist yet, and its parents.

    Raises:
        FileExistsError: If it exists.
        StorageError: If it cannot be created.
    """
    try:
        _make_root(directory.parent)
        files.make_directory(directory)
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
                files.make_directory(parent)
    try:
        files.make_directory(root)
    except FileExistsError:
        if not root.is_dir():
            raise
        return
    files.create(root / ".gitignore", IGNORE)


def remove(directory: Path) -> None:
    """Remove a run directory with nothing worth keeping, and its root if that becomes empty."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)
    root = directory.parent
    with suppress(OSError):
        if {path.name for path in root.iterdir()} == {".gitignore"}:
            if (root / ".gitignore").read_bytes() != IGNORE:
                return  # the user's
            (root / ".gitignore").unlink()
            root.rmdir()  # fails if another run has been made meanwhile


def remove_leftovers(directory: Path) -> None:
    """Remove what an earlier writer left that was killed; only the holder of the lock may do that."""
    with suppress(OSError):
        for path in directory.iterdir():
            if LEFTOVERS.fullmatch(path.name):
                files.remove(path)
        for path in (directory / "plots").glob("*.png.tmp"):
            files.remove(path)


def write(path: Path, text: str) -> None:
    """Write a text file so that after a crash it is either the old one or the new one, whole.

    Raises:
        StorageError: If it cannot be written.
    """
    files.write_bytes(path, text.encode(errors="backslashreplace"))  # bytes of a name that are not UTF-8


def write_config(directory: Path, tree: Tree, overrides: Sequence[str]) -> None:
    """Write `config.yaml` and `overrides.yaml`."""
    write(directory / "config.yaml", yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
    write(directory / "overrides.yaml", yaml.safe_dump(list(overrides), allow_unicode=True))


def read_overrides(directory: Path) -> list[str]:
    """Read `overrides.yaml`; empty if it is missing or damaged, as nothing depends on it."""
    try:
        words = read_tree(directory / "overrides.yaml", CheckpointError)
    except CheckpointError:
        return []
    return [str(word) for word in words] if isinstance(words, list) else []


def read_config(directory: Path) -> Tree:
    """Read `config.yaml`; the packages of components that it names must be given by the caller anew.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    path = directory / "config.yaml"
    tree = read_tree(path, CheckpointError)
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path}: not a configuration")
    return tree


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one if the file is missing, damaged or not regular: a device has no end."""
    try:
        content = json_text.read_json(path, CheckpointError)
    except CheckpointError:
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented."""
    write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def line(row: Mapping[str, float]) -> str:
    """Return a line of `metrics.jsonl`; JSON knows no NaN, so it is written as null."""
    return json.dumps({key: value if math.isfinite(value) else None for key, value in row.items()}) + "\n"


def read_metrics(directory: Path, last_step: int | None = None, more: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of `metrics.jsonl` up to a step, each once; incomplete lines are skipped.

    Args:
        directory: The run's.
        last_step: The last step to return; None for all.
        more: Lines that the file may lack, because it could not be written.
    """
    lines: list[str] = []
    path = directory / "metrics.jsonl"
    with suppress(OSError):
        # A byte that is not UTF-8 damages its line, not the file.
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in map(_row, (*lines, *more)):
        if row and (last_step is None or row["step"] <= last_step):
            rows[row["step"], *row] = {key: math.nan if value is None else value for key, value in row.items()}
    return sorted(rows.values(), key=lambda row: row["step"]) if more else list(rows.values())


def _row(line: str) -> dict[str, Any]:
    """Return the row of a line of `metrics.jsonl`; an empty one if the line is damaged."""
    try:
        row = json_text.parse_json(line, "metrics.jsonl", CheckpointError)
    except CheckpointError:
        return {}
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else {}


def all_runs(root: Path) -> Iterator[Path]:
    """Yield every run directory below a root, including the trials of sweeps, the oldest first."""
    if not is_directory(root):
        return
    for directory in sorted(path for path in root.iterdir() if path.is_dir()):
        if (directory / "config.yaml").is_file():
            yield directory
        elif (directory / "sweep.json").is_file():
            yield from sorted(path for path in directory.iterdir() if (path / "config.yaml").is_file())


def _not_a_run(path: Path) -> str:
    """Return what a path is that is not a run directory, and what to give instead."""
    for above in path.absolute().parents:
        if (above / "config.yaml").is_file():
            return f"inside a run; give its directory: {above}"
    if (path / "sweep.json").is_file():
        return "is a sweep, not a run; choose one of its trials"
    if path.is_dir():
        return "not a run directory, as it has no config.yaml"
    try:
        with path.open("rb") as file:
            return f"not a run directory, but {looks_like(file.read(512))}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def looks_like(content: bytes) -> str:
    """Return what a file that is not what it should be looks like, from its first bytes.

    >>> looks_like(b""), looks_like(b"<!DOCTYPE html>")
    ('an empty file', 'a web page')
    """
    if not content.strip(b"\0"):
        return "a file that contains only NUL bytes" if content else "an empty file"
    start = content.lstrip().lower()
    return next((kind for mark, kind in LOOKS.items() if start.startswith(mark)), "something else")


def find(name: str | None, root: Path) -> Path:
    """Return a run directory by its path, its name below the root or a part of that; None or `last` is the newest.

    Raises:
        CheckpointError: If there is none, or a part matches several.
    """
    runs = list(all_runs(root))
    if name is None or (name == "last" and not is_file(Path(name, "config.yaml"))):
        if not runs:
            raise CheckpointError(f"no run in {root}")
        return max(runs, key=lambda path: (path / "config.yaml").stat().st_mtime_ns)
    assert name is not None
    if is_file(Path(name) / "config.yaml"):
        return Path(name)
    names = {str(path.relative_to(root)): path for path in runs}
    matching = [names[name]] if name in names else [path for label, path in names.items() if name in label]
    if len(matching) == 1:
        return matching[0]
    if matching:
        names_of_some = ", ".join(path.name for path in matching[:5]) + (", ..." if len(matching) > 5 else "")
        raise CheckpointError(f"{name}: matches {len(matching)} runs: {names_of_some}")
    reason = (
        _not_a_run(Path(name))
        if is_file(Path(name)) or is_directory(Path(name))
        else f"no such run in {root} (trainctl runs lists them)"
    )
    raise CheckpointError(f"{name}: {reason}")
