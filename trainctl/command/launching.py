"""Run a command in several processes, or check that one is enough. Imports no torch before it must."""

import importlib
import math
import os
import re
import sys
from collections.abc import Callable, Sequence

from trainctl.errors import ConfigError, UnavailableError, lacks_memory
from trainctl.fileformat.boundary import reason
from trainctl.fileformat.waiting import waiting
from trainctl.machine import environment, launch, signals, threads
from trainctl.report import table
from trainctl.settings import config, processes, validation
from trainctl.store.runpath import AnyPath

ALLOCATORS = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF")


def in_processes(checked: config.Config, words: Sequence[str], overrides: Sequence[str]) -> int | None:
    """Run a command in several processes if its settings say so, and return the exit code; None if this process runs it.

    Args:
        checked: The configuration of the run.
        words: The words of the command.
        overrides: Those among them that are settings.

    Raises:
        ConfigError: If this machine cannot carry so many processes, or torchrun or srun has started others.
        UnavailableError: If a process was killed.
    """
    typed = any(word.startswith("processes=") for word in overrides)
    if place := environment.read():
        if typed and checked.processes not in ("auto", place.size):
            raise ConfigError(
                f"processes={checked.processes}, but {place.by} started {place.size}: leave processes out"
            )
        return None
    if note := environment.outside_step():
        table.line(f"trainctl: note: {note}", stream=sys.stderr)
    if checked.processes == 1:
        return None
    granted = min(len(threads.allowed()), threads.quota() or math.inf)
    count, note = processes.wanted(checked, max(1, int(granted + 0.01)), _gpus, typed=typed)
    if note:
        table.line(f"trainctl: note: {note}", stream=sys.stderr)
    if count == 1:
        return None
    if wrong := validation.obstacles(checked.tree, count):
        raise ConfigError(*wrong)
    distributed = checked.distributed

    def show(line: str) -> None:
        table.line(f"trainctl: {line}", stream=sys.stderr)

    return launch.run(words, count, restarts=distributed.restarts, timeout=distributed.seconds, note=show)


def require_started_once() -> None:
    """Check that a sweep is not started by torchrun or srun: it starts its own processes.

    Raises:
        ConfigError: If it is.
    """
    if place := environment.read():
        raise ConfigError(
            f"{place.by} has started {place.size} processes, but a sweep starts its own: start it once; for a cluster, use"
            " sweep.slurm or sweep.storage"
        )


def require_one_process(checked: config.Config, command: str) -> config.Config:
    """Return a configuration that a command uses in this process alone.

    Raises:
        ConfigError: If it says that several processes train.
    """
    if checked.processes != 1:
        raise ConfigError(
            f"processes={checked.processes}: {command} uses one process: add processes=1; to compute a batch in as many"
            " parts, set loop.micro_batches"
        )
    return checked


def _gpus() -> int:
    """Return the number of GPUs; imports PyTorch, which takes seconds."""
    import_torch()
    count: int = importlib.import_module("torch").cuda.device_count()
    return count


def in_processes_of(
    directory: AnyPath, own: Sequence[str], overrides: Sequence[str], allowed: Sequence[str], words: Sequence[str]
) -> int | None:
    """Do the same for a command that trains a run that exists, see :func:`in_processes`.

    Args:
        directory: The run's directory.
        own: Packages of the user's components.
        overrides: Changes of its settings.
        allowed: Keys that may change.
        words: The words of the command.

    Raises:
        TrainctlError: If the run's configuration cannot be read, or such a change is not allowed.
    """
    from trainctl.settings import existing  # these know Hydra, which most commands need not
    from trainctl.store import configuration

    if (
        not overrides
        and environment.read() is None
        and configuration.read_tree(directory, own).get("processes", 1) == 1
    ):
        return None
    checked = existing.check(existing.change(configuration.read(directory, own).tree, overrides, allowed))
    if isinstance(checked.processes, int) and (
        wrong := processes.too_few_parts(checked.loop.micro_batches, checked.processes)
    ):
        raise ConfigError(wrong)
    return in_processes(checked, words, overrides)


def require_allowed(
    directory: AnyPath,
    own: Sequence[str],
    overrides: Sequence[str],
    allowed: Sequence[str] | None = None,
    change: Callable[[config.Tree, Sequence[str], Sequence[str]], config.Tree] | None = None,
) -> None:
    """Check, before PyTorch is imported, the changes of a run's settings that are typed; ``change`` applies them.

    Without ``allowed``, what may be different on another machine may change.

    Raises:
        TrainctlError: If the run's configuration cannot be read, or such a change is not allowed.
    """
    if not overrides:
        return
    from trainctl.settings import existing
    from trainctl.store import configuration

    may = existing.ELSEWHERE if allowed is None else allowed
    existing.check((change or existing.change)(configuration.read(directory, own).tree, overrides, may))


def import_torch() -> None:
    """Import PyTorch, which takes seconds; called once everything that can be checked without it was checked.

    Raises:
        UnavailableError: If it refuses a variable of the environment. One that configures its allocator is checked before,
            because PyTorch ends the process if it is wrong.
    """
    for name in ALLOCATORS:
        if (value := os.environ.get(name)) and not re.fullmatch(r"\s*[\w]+:.+", value):
            raise UnavailableError(f"{name}={value}: expected option:value, as PyTorch reads it; correct or unset it")
    with waiting("loading PyTorch"):
        try:
            importlib.import_module("torch")
        except ValueError as error:
            if kind := signals.left_for():
                raise kind from error
            variables = ", ".join(sorted(name for name in os.environ if name.startswith(("TORCH", "PYTORCH"))))
            hint = f"; is a variable of the environment wrong? ({variables})" if variables else ""
            raise UnavailableError(f"PyTorch cannot be loaded: {reason(error)[:500]}{hint}") from error
        except (ImportError, OSError, RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            raise UnavailableError(
                "out of memory: PyTorch cannot be loaded; free memory, or raise the limit (of the job, or ulimit -v)"
            ) from error
    if kind := signals.left_for():  # an import has swallowed the exception
        raise kind
