"""Choose the device and the precision; seed, save and restore the random generators."""

import hashlib
import math
import platform
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainctl.errors import ConfigError, UnavailableError
from trainctl.machine.threads import ThreadChoice

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def find(name: str, local_rank: int | None = None) -> torch.device:
    """Return the device with a name: ``auto`` (the best available), ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    ``cuda:N`` becomes the current CUDA device. If several processes on this machine train together, ``auto`` and ``cuda``
    are a GPU for each of them, as far as there are enough.

    Args:
        name: The name.
        local_rank: The number of this process among those on this machine; None if it is alone.

    Raises:
        UnavailableError: If this machine does not have the device.
    """
    if local_rank is not None and name in ("auto", "cuda") and torch.cuda.is_available():
        name = f"cuda:{local_rank % torch.cuda.device_count()}"
    if name == "auto" and local_rank is not None:
        return torch.device("cpu")
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(
            f"device={name}: this machine has no CUDA device that torch can use; use device=cpu or device=auto"
        )
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        have = f"{count} CUDA devices, cuda:0 to cuda:{count - 1}" if count > 1 else "one CUDA device, cuda:0"
        raise UnavailableError(f"device={name}: this machine has {have}")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UnavailableError(
            "device=mps: this machine has no Metal device that torch can use; use device=cpu or device=auto"
        )
    if device.index is not None:
        torch.cuda.set_device(device)
    return device


def name(device: torch.device, choice: ThreadChoice) -> str:
    """Describe a device: its type, with the name of a GPU or the number of CPU threads and the reason for it."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({choice})" if device.type == "cpu" else str(device)


@cache
def processor() -> str:
    """Return the name of the CPU; results are bitwise reproducible only on machines with the same CPU."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a model's forward pass and loss are computed.

    Raises:
        ConfigError: If the device does not support it.
    """
    if precision == "fp32":
        return nullcontext()
    if precision == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"precision=fp16 needs a CUDA device, not {device.type}; use precision=bf16 or precision=fp32"
        )
    return torch.autocast(device.type, AUTOCAST[precision])


def synchronize(device: torch.device) -> None:
    """Wait until a device has completed all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    if device.type == "mps":
        torch.mps.synchronize()


def end_capture(device: torch.device) -> None:
    """Replace a GPU's random generator after a failed graph capture by a copy: the old one is still in capture mode."""
    if device.type != "cuda":
        return
    with suppress(RuntimeError, AttributeError):
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        generator.graphsafe_set_state(generator.clone_state())


def free_memory(device: torch.device | None) -> float:
    """Return the memory of a GPU that is free [bytes]; infinity for other devices, whose memory is this machine's."""
    if device is None or device.type != "cuda":
        return math.inf
    return float(torch.cuda.mem_get_info(device)[0])


def derive(*parts: int) -> int:
    """Derive an independent seed from numbers such as (seed, epoch), the same on every machine.

    >>> derive(0, 1) == derive(0, 1), derive(0, 1) == derive(1, 0)
    (True, False)
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1  # 63 bits: torch expects signed seeds


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators, on all devices."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_generators(number: int, device: torch.device, *, own: bool) -> None:
    """Seed the generators that a forward pass may use.

    Args:
        number: The seed, of 63 bits.
        device: The device of the model.
        own: Whether to seed the generators of Python and NumPy, too, which only components of the user use.
    """
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(number)
    if device.type == "mps":
        torch.mps.manual_seed(number)
    if own:
        random.seed(number)
        np.random.seed(number % 2**32)


@contextmanager
def kept_generators() -> Iterator[None]:
    """Leave the generators of Python and NumPy as they were: the first import of a library may draw from them.

    Otherwise a run would end with other states where the library was imported before it began; rich is one of them.
    """
    python, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of all random generators as tensors; the user's components may use any of them."""
    _, words, gauss = random.getstate()
    numpy_state: Any = np.random.get_state()
    _, keys, *position = numpy_state
    states = {
        "cpu": torch.get_rng_state(),
        "python": torch.tensor([*words, math.inf if gauss is None else gauss], dtype=torch.float64),
        "numpy": torch.tensor([*keys.tolist(), *position], dtype=torch.float64),  # integers below 2^32 are exact
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Set the random generators to saved states; generators without a saved state are unchanged."""
    torch.set_rng_state(states["cpu"])
    if "python" in states:
        *words, gauss = states["python"].tolist()
        random.setstate((3, tuple(map(int, words)), None if math.isinf(gauss) else gauss))
    if "numpy" in states:
        *keys, position, has_gauss, cached = states["numpy"].tolist()
        np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), int(position), int(has_gauss), cached))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
