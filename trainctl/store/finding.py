"""Find run directories, by path or name; one that is damaged or private never hides the others. Imports no torch."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trainctl.errors import CheckpointError
from trainctl.fileformat.place import is_directory, is_file
from trainctl.wording import listed

OF_A_RUN = ("run.json", "checkpoints", "overrides.yaml")  # beside config.yaml
OF_A_SWEEP = ("journal", "lists", "claims")  # beside sweep.json
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


def all_runs(root: Path, troubles: list[str] | None = None, *, trials: bool = True) -> Iterator[Path]:
    """Yield every run directory below a root, the oldest first.

    Args:
        root: The root.
        troubles: Gets a line for each directory that cannot be read, such as a private one of another user.
        trials: Whether the trials of sweeps are among them.

    Raises:
        CheckpointError: If the root cannot be read.
    """
    found = [] if troubles is None else troubles
    for directory in _directories(root):
        try:
            if _has(directory, "config.yaml"):
                yield directory
            elif trials and _has(directory, "sweep.json"):
                yield from [trial for trial in _subdirectories(directory) if _has(trial, "config.yaml")]
        except OSError as error:
            found.append(f"{directory}: cannot be read: {error.strerror}")


def all_sweeps(root: Path, troubles: list[str] | None = None) -> Iterator[Path]:
    """Yield every sweep's directory below a root, the oldest first; the arguments are those of :func:`all_runs`."""
    found = [] if troubles is None else troubles
    for directory in _directories(root):
        try:
            if _has(directory, "sweep.json") and not _has(directory, "config.yaml"):
                yield directory
        except OSError as error:
            found.append(f"{directory}: cannot be read: {error.strerror}")


def _directories(root: Path) -> list[Path]:
    if not is_directory(root):
        return []
    try:
        return _subdirectories(root)
    except OSError as error:
        raise CheckpointError(f"{root}: cannot be read: {error.strerror}") from error


def _subdirectories(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return sorted(Path(path, entry.name) for entry in entries if is_directory(Path(entry.path)))


def _has(directory: Path, name: str) -> bool:
    """Return whether a directory has an entry of a name, of whatever kind.

    Raises:
        OSError: If that cannot be found out.
    """
    try:
        os.lstat(directory / name)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True


def is_run(path: Path) -> bool:
    """Return whether a path is a run directory, perhaps a damaged one."""
    with suppress(OSError):
        return _has(path, "config.yaml")
    return False


def run_around(path: Path) -> Path | None:
    """Return the run directory that a path is in, if any: a config.yaml alone may be that of any project."""
    with suppress(OSError):
        for parent in path.absolute().parents:
            if _has(parent, "config.yaml") and any(_has(parent, name) for name in OF_A_RUN):
                return parent
    return None


def sweep_around(path: Path) -> Path | None:
    """Return the directory of the sweep that a path is in, if any: a sweep.json alone may be that of another tool."""
    with suppress(OSError):
        for parent in path.absolute().parents:
            if _has(parent, "sweep.json") and any(_has(parent, name) for name in OF_A_SWEEP):
                return parent
    return None


def _not_a_run(path: Path) -> str:
    """Explain why a path is not a run directory, and what to give instead."""
    if parent := run_around(path):
        return f"inside a run; give the run's directory: {parent}"
    try:
        if _has(path, "sweep.json"):
            return "is a sweep, not a run; choose one of its trials"
        if path.is_dir():
            inside = next(all_runs(path), None)
            hint = f"; there are runs in it, such as {inside}" if inside else ""
            return f"not a run directory (it has no config.yaml){hint}"
        return f"not a run directory, but {looks_like(_start(path))}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _start(path: Path) -> bytes:
    with path.open("rb") as file:  # a regular file
        return file.read(512)


def find_sweep(name: str | None, root: Path) -> Path | None:
    """Return the sweep that is meant by a path, a name below the root or a part of the name; None if it is none, or several."""
    if name is None:
        return None
    if is_file(Path(name) / "sweep.json"):
        return Path(name)
    with suppress(OSError):
        sweeps = [path.parent for path in root.glob("*/sweep.json")]
        exact = [path for path in sweeps if path.name == name]
        matches = exact or [path for path in sweeps if name in path.name]
        return matches[0] if len(matches) == 1 and not (root / name / "config.yaml").exists() else None
    return None


def find(name: str | None, root: Path) -> Path:
    """Find a run directory by its path, its name below the root or a part of that name; None or `last` finds the newest run.

    Raises:
        CheckpointError: If no run matches, or several do.
    """
    troubles: list[str] = []
    runs = list(all_runs(root, troubles))
    if name is None or (name == "last" and not is_run(Path(name))):
        if not runs:
            raise CheckpointError("; ".join([f"{root}: no runs found", *troubles]))
        return max(runs, key=_changed)
    if is_run(Path(name)):
        if _has(Path(name), "parent.json"):
            raise CheckpointError(
                f"{name}: is the copy that a run keeps of one that it was made from; give the directory of a run"
            )
        return Path(name)
    names = {str(path.relative_to(root)): path for path in runs}
    matches = [path for label, path in names.items() if name in label and name not in (".", "..")]
    matches = [names[name]] if name in names else matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        labels = [str(path.relative_to(root)) for path in matches]
        if _has(root / name, "sweep.json"):
            raise CheckpointError(f"{name}: is a sweep, not a run; choose one of its trials: {listed(labels)}")
        raise CheckpointError(f"{name}: matches {len(matches)} runs: {listed(labels)}")
    reason = (
        _not_a_run(Path(name))
        if is_file(Path(name)) or is_directory(Path(name))
        else f"no such run in {root} (trainctl runs lists them)"
    )
    unreadable = [line for line in troubles if name in line]  # it may be in one of these directories
    raise CheckpointError(f"{name}: {reason}", *unreadable)


def _changed(path: Path) -> int:
    """Return when a run's configuration was last changed [ns]; 0 if unknown."""
    try:
        return os.lstat(path / "config.yaml").st_mtime_ns
    except OSError:
        return 0


ANOTHER = "a file of another kind"  # of which its first bytes tell nothing


def looks_like(content: bytes) -> str:
    """Guess the kind of an unexpected file from its first bytes.

    >>> looks_like(b""), looks_like(b"<!DOCTYPE html>")
    ('an empty file', 'a web page')
    """
    if not content.strip(b"\0"):
        return "a file that contains only NUL bytes" if content else "an empty file"
    start = content.lstrip().lower()
    return next((kind for mark, kind in LOOKS.items() if start.startswith(mark)), ANOTHER)
