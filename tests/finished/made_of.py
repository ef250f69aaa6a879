"""Runs that are merged, combined or split in tests."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from trainctl import cli
from trainctl.settings import compose
from trainctl.train import cost, session

Say = Callable[..., tuple[int, str, str]]
# Two epochs of a small model; the rows are split in the same way, whatever the seed of the weights is.
SMALL = (
    "dataset=digits", "model.hidden=[12,8]", "model.norm=batch", "loop.epochs=2", "loop.batch_size=128", "threads=1",
    "optimizer.lr=0.01", "output.plots=false",
)  # fmt: skip


def train(directory: Path, *overrides: str) -> Path:
    """Train a small run in a directory, and return the directory."""
    session.begin(compose.compose([*SMALL, *overrides]), list(overrides), directory)
    return directory


def snapshot(*directories: Path) -> Mapping[str, tuple[bytes, int]]:
    """Return the content and the time of the last change of every file in some directories."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for directory in directories
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def entries(directory: Path) -> set[str]:
    """Return the names of everything in a directory, hidden entries included."""
    return {path.name for path in directory.iterdir()} - {".gitignore"}


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs a command line in this process; what a model costs is measured in little time."""
    monkeypatch.setattr(cost, "SECONDS", 0.0)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["trainctl", *map(str, arguments)])
        capsys.readouterr()
        code = cli.main()
        return code, *capsys.readouterr()

    return run
