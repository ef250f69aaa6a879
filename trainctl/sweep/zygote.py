"""The process from which workers are forked: it has imported torch and read the data, and computes nothing.

A process that has run a parallel region or a backward pass, or touched CUDA, cannot be forked (pytorch#41197, #69839):
so this one keeps to one thread and to reading. Started by :mod:`trainctl.sweep.nursery`.
"""

import gc
import importlib
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainctl.sweep.messages import Channel

# What every trial imports: imported once here. What only some need (scikit-learn, torch._dynamo) comes with their data, or
# once in each worker: a second or more that the other sweeps do not wait for.
EARLY = ("trainctl.train.session", "trainctl.sweep.worker", "trainctl.report.reporters")
POLL = 0.05  # seconds between two looks for workers that ended


def main(descriptor: int) -> int:
    """Fork workers until the pool ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):  # Slurm sends them to all processes of a job
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    for name in EARLY:
        importlib.import_module(name)
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    pool = Channel(connection)
    if (request := pool.wait()) is None:
        return 0
    for tree in request["read"]:
        share(tree)
    gc.freeze()
    pool.send({"ready": os.getpid(), "gpus": torch.cuda.device_count()})
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    connection.settimeout(POLL)
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 1)
        except TimeoutError:
            reap(pool)
            continue
        if not message:
            return 0
        pid = os.fork()
        if pid == 0:
            connection.close()
            return work(message.decode(), descriptors[0])
        os.close(descriptors[0])
        pool.send({"forked": pid})
        reap(pool)


def share(tree: dict[str, Any]) -> None:
    """Read a data set for all workers; one that cannot be read is reported by the trials that need it."""
    datasets: Any = importlib.import_module("trainctl.run.datasets")
    validation: Any = importlib.import_module("trainctl.settings.validation")
    load, read = validation.load, datasets.share_dataset
    with suppress(Exception):
        read(load(tree))


def reap(pool: Channel) -> None:
    """Report workers that ended."""
    with suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            pid = ended.si_pid
            kill_group(pid)  # before its number can be given to another process
            _, status = os.waitpid(pid, 0)
            pool.send({"exited": pid, "code": os.waitstatus_to_exitcode(status)})


def kill_group(worker: int) -> None:
    """Kill a worker, and whatever its components have started and left behind."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)


def work(device: str, descriptor: int) -> int:
    """Become a worker, for a GPU if one is named, with a process group of its own."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(OSError):  # the kernel takes a trial for lack of memory, never the sweep
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")
    if device.isdecimal():
        os.environ["CUDA_VISIBLE_DEVICES"] = _nth_device(int(device))
    worker: Any = importlib.import_module("trainctl.sweep.worker")
    code = worker.serve(Channel(socket.socket(fileno=descriptor)))
    sys.stdout.flush()
    sys.stderr.flush()
    kill_group(os.getpid())
    os._exit(code)


def _nth_device(number: int) -> str:
    """Return the number-th of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names it."""
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return visible[number % len(visible)] if visible else str(number)
