"""Create, find, read and write run directories. Imports no torch.

::

    <root>/<date>-<time>-<slug>-<hash>/
        config.yaml      resolved                  overrides.yaml   from the command line
        run.json         versions, git, host, data fingerprint, seed, model
        metrics.jsonl    one line per evaluation   log.txt          as on a plain terminal
        checkpoints/     see trainctl.store.checkpoint   summary.json     outcome, best and test metrics, time
        plots/*.png      lock.json        while a process is writing, see trainctl.store.lock
    <root>/<date>-<time>-sweep-<hash>/
        sweep.json       the command and the points
        results.csv      one line per trial
        <number>-<slug>/ a run directory per trial
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

# Files that a crash may leave in a run directory, in addition to those that trainctl.store.checkpoint removes.
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
    """Return the version of trainctl; "checkout" if it is not installed."""
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


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files of a process that was killed; call it only while holding the lock."""
    with suppress(OSError):
        for path in directory.iterdir():
            if LEFTOVERS.fullmatch(path.name):
                files.remove(path)
        for path in (directory / "plots").glob("*.png.tmp"):
            files.remove(path)


def write(path: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        StorageError: If it cannot be written.
    """
    files.write_bytes(path, text.encode(errors="backslashreplace"))  # for names that are not valid UTF-8


def write_config(directory: Path, tree: Tree, overrides: Sequence[str]) -> None:
    """Write `config.yaml` and `overrides.yaml`."""
    write(directory / "config.yaml", yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
    write(directory / "overrides.yaml", yaml.safe_dump(list(overrides), allow_unicode=True))


def read_overrides(directory: Path) -> list[str]:
    """Read `overrides.yaml`; return an empty list if it is missing or damaged, since it is only informative."""
    try:
        words = read_tree(directory / "overrides.yaml", CheckpointError)
    except CheckpointError:
        return []
    return [str(word) for word in words] if isinstance(words, list) else []


def read_config(directory: Path) -> Tree:
    """Read `config.yaml`; the caller has to give the packages of components again.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    path = directory / "config.yaml"
    tree = read_tree(path, CheckpointError)
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path}: damaged (not a mapping of settings)")
    return tree


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; return an empty one if the file is missing, damaged or not a regular file."""
    try:
        content = json_text.read_json(path, CheckpointError)
    except CheckpointError:
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented."""
    write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def line(row: Mapping[str, float]) -> str:
    """Return a line of `metrics.jsonl`; NaN and infinity become null, as JSON has neither."""
    return json.dumps({key: value if math.isfinite(value) else None for key, value in row.items()}) + "\n"


def read_metrics(directory: Path, last_step: int | None = None, more: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of `metrics.jsonl` up to a step, each once; incomplete lines are skipped.

    Args:
        directory: The run's directory.
        last_step: The last step to return; None for all.
        more: Lines that may be missing from the file because it could not be written.
    """
    lines: list[str] = []
    path = directory / "metrics.jsonl"
    with suppress(OSError):
        # An invalid byte damages only its line.
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in map(_row, (*lines, *more)):
        if row and (last_step is None or row["step"] <= last_step):
            rows[row["step"], *row] = {key: math.nan if value is None else value for key, value in row.items()}
    return sorted(rows.values(), key=lambda row: row["step"]) if more else list(rows.values())


def _row(line: str) -> dict[str, Any]:
    """Parse a line of `metrics.jsonl`; return an empty row if the line is damaged."""
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
    """Explain why a path is not a run directory, and what to give instead."""
    for parent in path.absolute().parents:
        if (parent / "config.yaml").is_file():
            return f"inside a run; give the run's directory: {parent}"
    if (path / "sweep.json").is_file():
        return "is a sweep, not a run; choose one of its trials"
    if path.is_dir():
        return "not a run directory (it has no config.yaml)"
    try:
        with path.open("rb") as file:
            return f"not a run directory, but {looks_like(file.read(512))}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def looks_like(content: bytes) -> str:
    """Guess the kind of an unexpected file from its first bytes.

    >>> looks_like(b""), looks_like(b"<!DOCTYPE html>")
    ('an empty file', 'a web page')
    """
    if not content.strip(b"\0"):
        return "a file that contains only NUL bytes" if content else "an empty file"
    start = content.lstrip().lower()
    return next((kind for mark, kind in LOOKS.items() if start.startswith(mark)), "something else")


def find(name: str | None, root: Path) -> Path:
    """Find a run directory by its path, its name below the root or a part of that name; None or `last` finds the newest run.

    Raises:
        CheckpointError: If no run matches, or several do.
    """
    runs = list(all_runs(root))
    if name is None or (name == "last" and not is_file(Path(name, "config.yaml"))):
        if not runs:
            raise CheckpointError(f"{root}: no runs found")
        return max(runs, key=lambda path: (path / "config.yaml").stat().st_mtime_ns)
    assert name is not None
    if is_file(Path(name) / "config.yaml"):
        return Path(name)
    names = {str(path.relative_to(root)): path for path in runs}
    matches = [names[name]] if name in names else [path for label, path in names.items() if name in label]
    if len(matches) == 1:
        return matches[0]
    if matches:
        examples = ", ".join(path.name for path in matches[:5]) + (", ..." if len(matches) > 5 else "")
        raise CheckpointError(f"{name}: matches {len(matches)} runs: {examples}")
    reason = (
        _not_a_run(Path(name))
        if is_file(Path(name)) or is_directory(Path(name))
        else f"no such run in {root} (trainctl runs lists them)"
    )
    raise CheckpointError(f"{name}: {reason}")
