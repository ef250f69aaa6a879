"""The git repository around the working directory -> its commit, and whether tracked files have changed.

A repository may come from a stranger, and its configuration names programs: file monitors, filters, hooks, pagers. So
its commit is read from its files, and git compares the files with a configuration of ours. It never sees the
repository's own configuration, nor any variable ``GIT_*``, and it writes nothing.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from trainctl.errors import DataError
from trainctl.fileformat.place import is_directory, is_file
from trainctl.fileformat.utf8 import read_text

UNKNOWN = "unknown"
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
REFERENCE = re.compile(r"refs/[^\s\x00-\x20\x7f~^:?*\[\\]+")
LARGEST = 10_000_000  # bytes of a file; packed-refs has one line for each branch and tag
SECONDS = 5  # that git may take
MEMORY = 4_000_000  # that git may take [kB]
CONFIGURATION = """\
[core]
	repositoryformatversion = {version}
	bare = false
	fsmonitor = false
	hooksPath = /dev/null
	attributesFile = /dev/null
	excludesFile = /dev/null
	packedGitWindowSize = 32m
	packedGitLimit = 256m
"""


def describe(directory: Path) -> dict[str, Any] | None:
    """Return the commit of the repository around a directory, and whether tracked files differ from it.

    Returns:
        ``commit``, which is "unknown" if it cannot be read, and ``dirty``, None if git cannot say; None outside of a
        repository.
    """
    try:
        root = next(folder for folder in (directory, *directory.parents) if os.path.lexists(folder / ".git"))
    except (StopIteration, OSError, ValueError):
        return None
    try:
        own, common = _directories(root)
        commit = _commit(own, common)
    except (DataError, OSError, ValueError):
        return {"commit": UNKNOWN, "dirty": None}
    return {"commit": commit, "dirty": None if commit == UNKNOWN else _dirty(root, own, common, commit)}


def _directories(root: Path) -> tuple[Path, Path]:
    """Return the directory of a working tree's own files, such as HEAD, and that of what all its work trees share."""
    own = root / ".git"
    if is_file(own):  # of a submodule, or of a work tree beside the main one
        own = root / read_text(own, largest=LARGEST).removeprefix("gitdir:").strip()
    shared = own / "commondir"
    return own, own / read_text(shared, largest=LARGEST).strip() if is_file(shared) else own


def _commit(own: Path, common: Path) -> str:
    """Return the commit to which HEAD points, directly or through a branch."""
    text = read_text(own / "HEAD", largest=LARGEST).strip()
    for _ in range(5):  # a reference may name another one
        if COMMIT.fullmatch(text):
            return text
        name = text.removeprefix("ref:").strip()
        if not REFERENCE.fullmatch(name) or ".." in name:
            return UNKNOWN
        file = next((folder / name for folder in (own, common) if is_file(folder / name)), None)
        text = read_text(file, largest=LARGEST).strip() if file else _packed(common / "packed-refs", name)
    return UNKNOWN


def _packed(path: Path, name: str) -> str:
    """Return the commit of a branch whose own file git has packed into one with others."""
    for line in read_text(path, largest=LARGEST).split("\n"):
        commit, _, reference = line.partition(" ")
        if reference.strip() == name:
            return commit
    return ""


def _dirty(root: Path, own: Path, common: Path, commit: str) -> bool | None:
    """Return whether tracked files differ from a commit; None if git does not say so in time."""
    git = _program()
    if git is None or not is_file(own / "index") or not is_directory(common / "objects"):
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="trainctl-") as folder:
            ours = Path(folder)
            _write_configuration(ours, commit)
            kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
            environment = kept | {
                "GIT_DIR": str(ours), "GIT_WORK_TREE": str(root), "GIT_INDEX_FILE": str(own / "index"),
                "GIT_OBJECT_DIRECTORY": str(common / "objects"), "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_ATTR_NOSYSTEM": "1",
                "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "HOME": folder,
                "XDG_CONFIG_HOME": folder, "LC_ALL": "C",
            }  # fmt: skip
            words = [git, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"]
            limited = ["/bin/sh", "-c", f'ulimit -v {MEMORY} 2> /dev/null; exec "$@"', "sh", *words]
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True}
            done = subprocess.run(limited, cwd=root, env=environment, timeout=SECONDS, check=True, **streams)
            return bool(done.stdout.strip())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _program() -> str | None:
    """Return the path of git; a program in the working directory is not it, even if PATH names that with a dot."""
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder).is_absolute()]
    return shutil.which("git", path=os.pathsep.join(folders)) if folders and os.name == "posix" else None


def _write_configuration(folder: Path, commit: str) -> None:
    """Write what git expects of a repository, except its objects and its index."""
    long = len(commit) == 64
    text = CONFIGURATION.format(version=1 if long else 0)
    (folder / "config").write_text(text + ("[extensions]\n\tobjectFormat = sha256\n" if long else ""))
    (folder / "HEAD").write_text(f"{commit}\n")
    for name in ("refs", "objects"):
        (folder / name).mkdir()
