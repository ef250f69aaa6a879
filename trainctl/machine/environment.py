"""Read from the environment which process of how many this one is: started by trainctl, torchrun or srun. Imports no torch."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainctl.errors import ConfigError
from trainctl.wording import listed

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
SLURM = ("SLURM_PROCID", "SLURM_LOCALID")
BY_US = "TRAINCTL_PROCESS"  # set for the processes that `processes=N` starts
MOST = 1 << 20  # processes
FIRST_PORT = 15_000  # of jobs; the last four digits of the job's number are added
HOSTS_TIMEOUT = 30.0  # of scontrol [s]


@dataclass(frozen=True)
class Place:
    """The place of this process among those that train together.

    Args:
        rank: Its number, from 0.
        size: How many they are.
        local_rank: Its number among those on this machine.
        local_size: How many are on this machine.
        address: The machine of the first process.
        port: The port at which the first process, or its launcher, is found.
        by: Who started them: ``trainctl``, ``torchrun`` or ``srun``.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str
    port: int
    by: str


def read(environment: Mapping[str, str] = os.environ, first_host: Callable[[str], str] | None = None) -> Place | None:
    """Return the place of this process; None if it is alone.

    Args:
        environment: The environment variables.
        first_host: Returns the first machine of a list in Slurm's notation; None to ask ``scontrol``.

    Raises:
        ConfigError: If variables are missing, or are not numbers that belong together.
    """
    given = [name for name in TORCHRUN if environment.get(name)]
    if environment.get("WORLD_SIZE") == "1" and environment.get("RANK", "0") == "0":  # some clusters set no more
        return None
    if "RANK" in given or "WORLD_SIZE" in given:
        return _of_torchrun(environment, given)
    return _of_slurm(environment, first_host or _first_host)


def _of_torchrun(environment: Mapping[str, str], given: list[str]) -> Place | None:
    if missing := [name for name in TORCHRUN if name not in given]:
        lacking = f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} not"
        raise ConfigError(
            f"{listed(given)} {'is' if len(given) == 1 else 'are'} set, {lacking}: start with torchrun,"
            f" or unset {'it' if len(given) == 1 else 'them'}"
        )
    rank, size, local_rank, local_size, port = (_number(environment, name) for name in (*TORCHRUN[:4], "MASTER_PORT"))
    if size == 1:
        return None
    if not (rank < size and local_rank < local_size <= size and 0 < port < 1 << 16):
        raise ConfigError(
            f"RANK={rank}, WORLD_SIZE={size}, LOCAL_RANK={local_rank}, LOCAL_WORLD_SIZE={local_size}, MASTER_PORT={port}:"
            " these are inconsistent; start with torchrun, or unset them"
        )
    by = "trainctl" if environment.get(BY_US) else "torchrun"
    return Place(rank, size, local_rank, local_size, environment["MASTER_ADDR"], port, by)


def _of_slurm(environment: Mapping[str, str], first_host: Callable[[str], str]) -> Place | None:
    """Return the place in a step of srun; None in a shell of salloc or sbatch, whose step has one task."""
    tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS") or "1"
    if not in_step(environment) or tasks == "1":
        return None
    size, (rank, local_rank) = (
        _number({"SLURM_NTASKS": tasks}, "SLURM_NTASKS"),
        (_number(environment, name) for name in SLURM),
    )
    here = environment.get("SLURM_STEP_TASKS_PER_NODE") or environment.get("SLURM_TASKS_PER_NODE") or str(size)
    local_size = _tasks_of_node(
        here, _number({"SLURM_NODEID": "0"} | _given(environment, "SLURM_NODEID"), "SLURM_NODEID")
    )
    hosts = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST") or ""
    digits = {"SLURM_JOB_ID": (environment.get("SLURM_JOB_ID") or "0").strip()[-4:]}
    port = environment.get("MASTER_PORT") or str(FIRST_PORT + _number(digits, "SLURM_JOB_ID"))
    address = environment.get("MASTER_ADDR") or (first_host(hosts) if hosts else "127.0.0.1")
    if not (rank < size and local_rank < local_size <= size):
        raise ConfigError(
            f"SLURM_PROCID={rank}, SLURM_NTASKS={size}, SLURM_LOCALID={local_rank}, {local_size} tasks on this machine:"
            " these are inconsistent; start with srun, or unset them"
        )
    number = _number({"MASTER_PORT": port}, "MASTER_PORT")
    if not 0 < number < 1 << 16:
        raise ConfigError(f"MASTER_PORT={number}: expected 1 to 65535; set another one, or unset it")
    return Place(rank, size, local_rank, local_size, address, number, "srun")


def in_step(environment: Mapping[str, str]) -> bool:
    """Return whether this process is a task of srun, and not a shell inside an allocation."""
    step = environment.get("SLURM_STEP_ID") or environment.get("SLURM_STEPID")
    interactive = environment.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return step is not None and not interactive and all(environment.get(name) for name in SLURM)


def outside_step(environment: Mapping[str, str] = os.environ) -> str:
    """Return a note if an allocation has several tasks, but this process is not one of them; else an empty text."""
    tasks = environment.get("SLURM_NTASKS", "1")
    if tasks in ("", "1") or in_step(environment) or environment.get("SLURM_ARRAY_JOB_ID"):
        return ""
    return f"SLURM_NTASKS={tasks}, but this is not a task of srun, so one process trains; to use all {tasks}: srun trainctl ..."


def _given(environment: Mapping[str, str], name: str) -> dict[str, str]:
    return {name: environment[name]} if environment.get(name) else {}


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name].strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 7 and int(text) <= MOST):
        raise ConfigError(f"{name}={text[:40]}: expected a whole number; start with torchrun or srun, or unset it")
    return int(text)


def _tasks_of_node(text: str, node: int) -> int:
    """Return the number of tasks on a node, in Slurm's notation.

    >>> _tasks_of_node("2(x3),1", 2), _tasks_of_node("2(x3),1", 3), _tasks_of_node("4", 0)
    (2, 1, 4)
    """
    found, nodes = 1, 0
    for part in text.split(","):
        if nodes <= node and (match := re.fullmatch(r"([0-9]{1,6})(?:\(x([0-9]{1,6})\))?", part.strip())):
            found, nodes = int(match[1]), nodes + int(match[2] or 1)
    return found


def _first_host(hosts: str) -> str:
    """Return the first machine of a list in Slurm's notation.

    Raises:
        ConfigError: If ``scontrol`` does not answer.
    """
    if re.fullmatch(r"[\w.-]+", hosts):
        return hosts
    try:
        answer = subprocess.run(
            ["scontrol", "show", "hostnames", hosts],
            capture_output=True, check=True, text=True, timeout=HOSTS_TIMEOUT,
        )  # fmt: skip
        return answer.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise ConfigError(
            f"SLURM_STEP_NODELIST={hosts[:60]}: scontrol show hostnames did not answer"
            f" ({type(error).__name__}); set MASTER_ADDR to the first machine"
        ) from error
