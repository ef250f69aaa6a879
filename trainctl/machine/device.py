"""Device, precision, threads, seeds and random states."""

import ctypes
import hashlib
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainctl.errors import ConfigError, UnavailableError
from trainctl.machine import threads

THREADS = torch.get_num_threads()  # what OMP_NUM_THREADS says, before anybody sets another number
SIDE, TIMES = 512, 5  # of the product that is timed where the system does not tell what is free
APART = 5.0  # seconds between looks at what other processes do
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose(name: str) -> torch.device:
    """Return the device of a name: ``auto`` (the best there is), ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    A GPU that has a number becomes the current one.

    Raises:
        UnavailableError: If this machine does not have it.
    """
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(
            f"device={name}: this machine has no CUDA device that torch can use; give device=cpu or device=auto"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UnavailableError(
            f"device={name}: this machine has {torch.cuda.device_count()} CUDA devices, counted from 0"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UnavailableError("device=mps: torch finds no Metal device here; give device=cpu or device=auto")
    if device.index is not None:
        torch.cuda.set_device(device)
    return device


def describe(device: torch.device) -> str:
    """Name a device for people: its type, and a GPU's model or the CPU's threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({threads.ThreadChoice(torch.get_num_threads())})" if device.type == "cpu" else str(device)


def processor() -> str:
    """Name the CPU; results are the same to the last bit only on machines of one kind."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def use_threads(wanted: int | str | None) -> threads.ThreadChoice:
    """Set how many threads compute on the CPU, and return it.

    Args:
        wanted: A number; else ``OMP_NUM_THREADS`` of the environment decides, else what is free, see
            :func:`trainctl.machine.threads.choose`; where the system does not tell what is free, a measurement.
    """
    if isinstance(wanted, int):
        choice = threads.ThreadChoice(wanted)
    elif os.environ.get("OMP_NUM_THREADS"):
        choice = threads.ThreadChoice(THREADS, "OMP_NUM_THREADS")
    else:
        choice = threads.current()
        if not threads.START.total and choice.threads > 1:
            choice = measured(choice.threads)
    torch.set_num_threads(choice.threads)
    return choice


@cache
def measured(most: int) -> threads.ThreadChoice:
    """Time a product with so many threads, with half of them, and so on, and return the fastest number.

    Takes some 50 ms, once. Threads that share a core with other work, or are on one much slower than the others, hold
    all of them up.
    """
    square, seconds, count = torch.ones(SIDE, SIDE), {}, most
    while count:
        torch.set_num_threads(count)
        times = []
        for _ in range(TIMES + 1):
            start = time.perf_counter()
            square @ square
            times.append(time.perf_counter() - start)
        seconds[count] = statistics.median(times[1:])  # the first one starts the threads
        count //= 2
    return threads.fastest(seconds)


def keep_memory() -> None:
    """Have the C library keep what is freed, up to 2 GiB, instead of giving it back to the system and asking anew.

    A step frees as much as it takes. Pages that come back from the system have to be cleared first, which takes a
    convolutional network a third of its time. Does nothing where the C library has no ``mallopt``.

    Source: GNU C library manual, malloc tunable parameters; numbers of the parameters: malloc.h.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        # M_MMAP_THRESHOLD [bytes]; glibc before 2.35 takes no more than 32 MiB.
        library.mallopt(-3, 1 << 30) or library.mallopt(-3, 1 << 25)
        library.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD [bytes]


class ThreadMonitor:
    """Notices when other work takes CPUs that a run's threads wait for, or gives them back.

    Args:
        adapt: Whether to change the threads then, which may change the last bits of results; else it is only said.
    """

    def __init__(self, *, adapt: bool) -> None:
        self.adapt, self.told = adapt, False
        self.before, self.limit = threads.sample(), threads.quota()

    def look(self, note: Callable[[str], None]) -> None:
        """Look at the time since the look before, if that was long enough ago."""
        if time.perf_counter() - self.before.clock < APART:
            return
        now = threads.sample()
        choice, used = threads.choose(self.before, now, self.limit), torch.get_num_threads()
        self.before = now
        if self.adapt and choice.threads != used:
            torch.set_num_threads(choice.threads)
            note(f"now {choice}")
        elif choice.threads < used and not self.told:
            self.told = True
            reason = choice.reason or f"this process may use {choice.threads} CPUs"
            note(
                f"{reason}, and {used} threads wait for each other: give the CPU to fewer runs,"
                f" or stop this one and resume it with threads={choice.threads} (or threads=adapt)"
            )


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a model's forward pass and loss are computed.

    Raises:
        ConfigError: If the device cannot do it.
    """
    if precision == "fp32":
        return nullcontext()
    if precision == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"precision=fp16 needs a CUDA device, this run is on {device.type}: give precision=bf16 or fp32"
        )
    return torch.autocast(device.type, AUTOCAST[precision])


def synchronize(place: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    if place.type == "mps":
        torch.mps.synchronize()


def end_capture(place: torch.device) -> None:
    """Give a GPU a random generator in the same state, after a capture that failed: the old one takes itself for captured."""
    if place.type != "cuda":
        return
    with suppress(RuntimeError, AttributeError):
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        generator.graphsafe_set_state(generator.clone_state())


def derive(*parts: int) -> int:
    """Derive an independent seed from numbers such as (seed, epoch), the same on every machine.

    >>> derive(0, 1) == derive(0, 1), derive(0, 1) == derive(1, 0)
    (True, False)
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1  # 63 bits: torch takes signed seeds


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators, on all devices."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators that a run draws from, as tensors; Python's and NumPy's are for own components."""
    _, words, gauss = random.getstate()
    numpy_state: Any = np.random.get_state()
    _, keys, *position = numpy_state
    states = {
        "cpu": torch.get_rng_state(),
        "python": torch.tensor([*words, math.inf if gauss is None else gauss], dtype=torch.float64),
        "numpy": torch.tensor([*keys.tolist(), *position], dtype=torch.float64),  # whole numbers below 2^32 are exact
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Set the generators to saved states; one that was not saved keeps its own."""
    torch.set_rng_state(states["cpu"])
    if "python" in states:
        *words, gauss = states["python"].tolist()
        random.setstate((3, tuple(map(int, words)), None if math.isinf(gauss) else gauss))
    if "numpy" in states:
        *keys, place, has_gauss, cached = states["numpy"].tolist()
        np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), int(place), int(has_gauss), cached))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
