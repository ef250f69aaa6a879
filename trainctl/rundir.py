"""Where a run lives, and its files. Imports no torch.

::

    <root>/<date>-<time>-<slug>-<hash>/
        config.yaml      resolved                  overrides.yaml   what was typed
        run.json         versions, git, host, data fingerprint, seed, model
        metrics.jsonl    one line per evaluation   log.txt          what a plain terminal shows
        checkpoints/     see trainctl.checkpoint   summary.json     outcome, best and test metrics, time
        plots/*.png
    <root>/<date>-<time>-sweep-<hash>/
        sweep.json       the command and its points
        results.csv      one line per trial
        <number>-<slug>/ a run directory each
"""

import json
import math
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainctl.config import Tree, slug
from trainctl.errors import CheckpointError, StorageError
from trainctl.fileformat.tree import read_tree


def create(root: str | Path, label: str) -> Path:
    """Make a new directory ``<root>/<date>-<time>-<label>-<hash>`` that no other run has.

    Raises:
        StorageError: If it cannot be made.
    """
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
        root = directory.parent
        if not root.exists():
            root.mkdir(parents=True)
            (root / ".gitignore").write_text("*\n", encoding="utf-8")
        directory.mkdir()
    except FileExistsError:
        if directory.exists():
            raise
        raise StorageError(f"{directory.parent}: not a directory, so no run can be kept there") from None
    except OSError as error:
        raise StorageError(f"{directory}: cannot be made: {error.strerror}") from error


def remove(directory: Path) -> None:
    """Remove a run's directory that holds nothing worth keeping, and its root if that is left empty."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)
    root = directory.parent
    if {path.name for path in root.iterdir()} == {".gitignore"}:
        shutil.rmtree(root, ignore_errors=True)


def write(path: Path, text: str) -> None:
    """Write a file so that after a crash it is either the old or the new one, whole.

    Raises:
        StorageError: If it cannot be written.
    """
    write_bytes(path, text.encode(errors="backslashreplace"))  # bytes of a name that are no UTF-8


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one beside it: write, sync, rename, sync the directory.

    Raises:
        StorageError: If it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({len(content):,} bytes): {error.strerror}") from error


def sync(directory: Path) -> None:
    """Make renames in a directory last."""
    if os.name == "nt":
        return  # a directory cannot be opened there, and renames need no sync
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_config(directory: Path, tree: Tree, overrides: Sequence[str]) -> None:
    """Write `config.yaml` and `overrides.yaml`."""
    write(directory / "config.yaml", yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
    write(directory / "overrides.yaml", yaml.safe_dump(list(overrides), allow_unicode=True))


def read_overrides(directory: Path) -> list[str]:
    """Read `overrides.yaml`; empty if it is missing or damaged, as nothing depends on it."""
    try:
        words = read_tree(directory / "overrides.yaml")
    except (OSError, ValueError, yaml.YAMLError):
        return []
    return [str(word) for word in words] if isinstance(words, list) else []


def read_config(directory: Path) -> Tree:
    """Read `config.yaml`; its component packages are the caller's to give, never the run's.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    path = directory / "config.yaml"
    try:
        tree = read_tree(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path}: not a configuration")
    return tree


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # ValueError: no JSON, no UTF-8, or a number of 5,000 digits
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented."""
    write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def line(row: Mapping[str, float]) -> str:
    """Return a line of `metrics.jsonl`; JSON knows no NaN, so it is written as null."""
    return json.dumps({key: value if math.isfinite(value) else None for key, value in row.items()}) + "\n"


def read_metrics(directory: Path, last_step: int | None = None) -> list[dict[str, Any]]:
    """Return the lines of `metrics.jsonl` up to a step; a torn last line is passed over."""
    rows = []
    try:
        lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if (
            isinstance(row, dict)
            and isinstance(step := row.get("step"), int)
            and (last_step is None or step <= last_step)
        ):
            rows.append({key: math.nan if value is None else value for key, value in row.items()})
    return rows


def all_runs(root: Path) -> Iterator[Path]:
    """Yield every run's directory below a root, the trials of sweeps too, oldest first."""
    if not root.is_dir():
        return
    for directory in sorted(path for path in root.iterdir() if path.is_dir()):
        if (directory / "config.yaml").is_file():
            yield directory
        elif (directory / "sweep.json").is_file():
            yield from sorted(path for path in directory.iterdir() if (path / "config.yaml").is_file())


def find(name: str | None, root: Path) -> Path:
    """Return a run's directory by its path, its name below the root, a part of that, or None for the newest.

    Raises:
        CheckpointError: If there is none, or a part fits several.
    """
    runs = list(all_runs(root))
    if name is None:
        if not runs:
            raise CheckpointError(f"there is no run in {root}")
        return max(runs, key=lambda path: (path / "config.yaml").stat().st_mtime_ns)
    if (Path(name) / "config.yaml").is_file():
        return Path(name)
    names = {str(path.relative_to(root)): path for path in runs}
    fitting = [names[name]] if name in names else [path for label, path in names.items() if name in label]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise CheckpointError(
            f"{name}: fits {len(fitting)} runs: {', '.join(path.name for path in fitting[:5])}{', ...' if len(fitting) > 5 else ''}"
        )
    raise CheckpointError(f"{name}: no such run in {root} (trainctl runs lists them)")
