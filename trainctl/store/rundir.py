"""Where a run lives, and its files. Imports no torch.

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
from trainctl.store import files as storage

# What a crash may leave in a run's directory, beside what trainctl.store.checkpoint removes.
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
    """Make a new directory ``<root>/<date>-<time>-<label>-<hash>`` that no other run has.

    Raises:
        ConfigError: If the root is a run's directory itself.
        StorageError: If it cannot be made.
    """
    with suppress(OSError):  # a name that is too long, for one: told below
        if (Path(root) / "config.yaml").exists():
            raise ConfigError(
                f"output.root={root} is itself a run: trainctl resume {root} goes on, or name another root"
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
    """Make a run's directory, which must not be there yet, and its parents.

    Raises:
        FileExistsError: If it exists.
        StorageError: If it cannot be made.
    """
    try:
        _make_root(directory.parent)
        storage.make_directory(directory)
    except FileExistsError:
        if directory.exists():
            raise
        raise StorageError(f"{directory.parent}: not a directory, so no run can be kept there") from None
    except OSError as error:
        raise StorageError(f"{directory}: cannot be made: {error.strerror}") from error


def _make_root(root: Path) -> None:
    """Make a directory for runs that Git passes over, and its parents; others may do so at the same time."""
    if root.is_dir():
        return
    for parent in reversed(root.parents):
        if not parent.exists():
            with suppress(FileExistsError):
                storage.make_directory(parent)
    try:
        storage.make_directory(root)
    except FileExistsError:
        if not root.is_dir():
            raise
        return
    storage.create(root / ".gitignore", IGNORE)


def remove(directory: Path) -> None:
    """Remove a run's directory that holds nothing worth keeping, and its root if that is left empty."""
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
    """Remove what an earlier writer that was killed has left; only for who holds the lock."""
    with suppress(OSError):
        for path in directory.iterdir():
            if LEFTOVERS.fullmatch(path.name):
                storage.remove(path)
        for path in (directory / "plots").glob("*.png.tmp"):
            storage.remove(path)


def write(path: Path, text: str) -> None:
    """Write a file so that after a crash it is either the old or the new one, whole.

    Raises:
        StorageError: If it cannot be written.
    """
    storage.write_bytes(path, text.encode(errors="backslashreplace"))  # bytes of a name that are no UTF-8


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
    """Read `config.yaml`; its component packages are the caller's to give, never the run's.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    path = directory / "config.yaml"
    tree = read_tree(path, CheckpointError)
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path}: not a configuration")
    return tree


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one if the file is missing or damaged, or no file: a device has no end."""
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
    """Return the lines of `metrics.jsonl` up to a step, each once; a torn line is passed over.

    Args:
        directory: The run's.
        last_step: Where to end; None for all.
        more: Lines that the file may lack, because it could not be written.
    """
    lines: list[str] = []
    path = directory / "metrics.jsonl"
    with suppress(OSError):
        # A byte that is no UTF-8 spoils its line, not the file.
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in map(_row, (*lines, *more)):
        if row and (last_step is None or row["step"] <= last_step):
            rows[row["step"], *row] = {key: math.nan if value is None else value for key, value in row.items()}
    return sorted(rows.values(), key=lambda row: row["step"]) if more else list(rows.values())


def _row(line: str) -> dict[str, Any]:
    """Read a line of `metrics.jsonl`; empty if it is damaged."""
    try:
        row = json_text.parse_json(line, "metrics.jsonl", CheckpointError)
    except CheckpointError:
        return {}
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else {}


def all_runs(root: Path) -> Iterator[Path]:
    """Yield every run's directory below a root, the trials of sweeps too, oldest first."""
    if not is_directory(root):
        return
    for directory in sorted(path for path in root.iterdir() if path.is_dir()):
        if (directory / "config.yaml").is_file():
            yield directory
        elif (directory / "sweep.json").is_file():
            yield from sorted(path for path in directory.iterdir() if (path / "config.yaml").is_file())


def _stray(path: Path) -> str:
    """Say what a path is that is no run's directory, and what to give instead."""
    for above in path.absolute().parents:
        if (above / "config.yaml").is_file():
            return f"a run is named by its directory: {above}"
    if (path / "sweep.json").is_file():
        return "a sweep: name one of its trials, which are runs"
    if path.is_dir():
        return "a directory without config.yaml, so no run"
    try:
        with path.open("rb") as file:
            return f"not a run's directory, but {looks_like(file.read(512))}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def looks_like(content: bytes) -> str:
    """Say what a file that is not what it should be looks like, from its first bytes.

    >>> looks_like(b""), looks_like(b"<!DOCTYPE html>")
    ('an empty file', 'a web page')
    """
    if not content.strip(b"\0"):
        return "a file of zero bytes" if content else "an empty file"
    start = content.lstrip().lower()
    return next((kind for mark, kind in LOOKS.items() if start.startswith(mark)), "something else")


def find(name: str | None, root: Path) -> Path:
    """Return a run's directory by its path, its name below the root, a part of that; None or `last` is the newest.

    Raises:
        CheckpointError: If there is none, or a part fits several.
    """
    runs = list(all_runs(root))
    if name is None or (name == "last" and not is_file(Path(name, "config.yaml"))):
        if not runs:
            raise CheckpointError(f"there is no run in {root}")
        return max(runs, key=lambda path: (path / "config.yaml").stat().st_mtime_ns)
    assert name is not None
    if is_file(Path(name) / "config.yaml"):
        return Path(name)
    names = {str(path.relative_to(root)): path for path in runs}
    fitting = [names[name]] if name in names else [path for label, path in names.items() if name in label]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise CheckpointError(
            f"{name}: fits {len(fitting)} runs: {', '.join(path.name for path in fitting[:5])}{', ...' if len(fitting) > 5 else ''}"
        )
    reason = (
        _stray(Path(name))
        if is_file(Path(name)) or is_directory(Path(name))
        else f"no such run in {root} (trainctl runs lists them)"
    )
    raise CheckpointError(f"{name}: {reason}")
