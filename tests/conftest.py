"""What the tests share: runs built in this process, and the command run as a user would."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch: spinning threads of neighbours make small steps ten times slower
ROOT = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = str(ROOT)  # what tests start as a process of its own is this tree
# Small and fast, with everything that draws random numbers: what a resumed run has to get right.
HARD = (
    "dataset=digits", "model=cnn", "model.channels=[4]", "model.hidden=[16]", "augment=[flip,crop]",
    "early_stopping=patience", "regularizer=[l1,l2]", "schedule=cosine", "loop.batch_size=400", "loop.micro_batches=2",
    "loop.clip_norm=1.0", "loop.epochs=3", "output.plots=false",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in an empty directory, where no user's ./conf and no ./runs are."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m trainctl` in a process of its own, in the test's directory."""

    def run(*arguments: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trainctl", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=os.environ | environment,
        )

    return run
