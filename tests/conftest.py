"""What the tests share: runs built in this process, and the command run as a user would."""

import gc
import importlib
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests import small_runs, soak
from tests.zygote import EAGER, Process, Zygote, without_recording, without_waiting_for_the_disk

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch: spinning threads of neighbours make small steps ten times slower
ROOT = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = str(ROOT)  # what tests start as a process of its own is this tree
without_waiting_for_the_disk()
if EAGER:
    without_recording()
# Small and fast, with everything that draws random numbers: what a resumed run has to get right.
HARD = (
    "dataset=digits", "model=cnn", "model.channels=[4,4]", "model.hidden=[16]", "augment=[flip,crop]",
    "early_stopping=patience", "regularizer=[l1,l2]", "schedule=cosine", "loop.batch_size=400", "loop.micro_batches=2",
    "loop.clip_norm=1.0", "loop.epochs=3", "output.plots=false",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Let advice be no error: runs as short as those of the tests get much of it."""
    config.addinivalue_line("filterwarnings", "ignore::trainctl.errors.Advice")


def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are CPUs: tests of processes, servers and clocks wait most of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """Let no garbage collection look at what was imported and collected, which took a twelfth of the time of the tests."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let Python end as usual."""
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """Print what repeats a run of the generators of inputs."""
    if soak.FACTOR > 1:
        terminalreporter.write_line(f"Repeat it with TRAINCTL_SOAK={soak.FACTOR} TRAINCTL_SEED={soak.SEED}")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in an empty directory, where no user's ./conf and no ./runs are, nor packages of other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # user components append their directory
    importlib.invalidate_caches()  # of a directory that was listed within the same tick of the file system's clock


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with runs on small files of every kind, see `tests.small_runs`."""
    root = tmp_path_factory.mktemp("small")
    small_runs.train_all(root)
    return root


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Return what starts a command as a process of its own in little time."""
    found = Zygote()
    yield found
    found.close()


@pytest.fixture
def start(tmp_path: Path, zygote: Zygote) -> Callable[..., Process]:
    """Return a function that starts `python -u -m trainctl` in the test's directory and does not wait for it.

    `ignored` are signals that the process is to find ignored, as a shell's nohup does.
    """

    def run(*arguments: str, cwd: Path = tmp_path, ignored: Sequence[int] = (), **environment: str) -> Process:
        return zygote.start(arguments, cwd, os.environ | environment, ignored)

    return run


@pytest.fixture
def command(tmp_path: Path, start: Callable[..., Process]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m trainctl` in a process of its own, in the test's directory.

    `fresh` starts Python, without the zygote: seconds of imports.
    """

    def run(
        *arguments: str, cwd: Path = tmp_path, timeout: float = 120, fresh: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        typed = [sys.executable, "-m", "trainctl", *arguments]
        if fresh:
            streams = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}  # what a terminal makes of it
            done = subprocess.run(typed, cwd=cwd, timeout=timeout, env=os.environ | environment, **streams)
            done.stderr = re.sub(
                r"^trainctl: loading PyTorch, \d+s\n", "", done.stderr, flags=re.M
            )  # on a slow machine
            return done
        process = start(*arguments, cwd=cwd, **environment)
        out, err = process.communicate(timeout)
        return subprocess.CompletedProcess(typed, process.returncode, out, err)

    return run


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let warnings pass: processes that the test forks do not share what was warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets one of several forked processes do something at a step, see `tests.together`."""
    from tests import together
    from trainctl.step import eager

    monkeypatch.setattr(eager, "batch_of", eager.batch_of)
    monkeypatch.setattr("trainctl.step.engine.optimizer_step", eager.optimizer_step)
    return together.at_step


@pytest.fixture
def say(monkeypatch, capsys):
    """Return a function that runs the command line in this process: exit code, stdout, stderr."""
    from trainctl import cli

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["trainctl", *words])
        code = cli.main()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
