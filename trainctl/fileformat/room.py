"""Whether the rows of a data set stay on disk: the settings, the memory that is free, and what a run did before.

Imports no torch.
"""

from dataclasses import dataclass
from typing import Literal

from trainctl.errors import ConfigError, format_bytes
from trainctl.fileformat.inferred import InferredLine

Keep = Literal["auto", "memory", "disk"]
UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
WORTH_A_LINE = 1 << 26  # bytes in memory, from which on the header says so
WINDOWS = (
    4  # of 64 MiB, in memory at once: one that is trained on, one that waits, and two copies of the one that is read
)
WINDOW_BYTES = 1 << 26
BYTES_A_ROW = 40  # of memory for a row on disk: its target, its number, its place in a split
BYTES_TO_SPLIT = 64  # of memory for a row while rows are assigned to splits, before any window is read


@dataclass(frozen=True)
class Room:
    """What is known of the memory when a data set is read. Supplied by ``assemble``.

    Args:
        free: Memory that is free [bytes].
        before: Where the rows of the run that is continued or repeated are: its order depends on it; None for a new run.
    """

    free: float
    before: Literal["memory", "disk"] | None = None


@dataclass(frozen=True)
class Choice:
    """Where rows are.

    Args:
        disk: Whether they stay on disk.
        lines: What the header says about it.
    """

    disk: bool
    lines: tuple[InferredLine, ...] = ()


def bytes_of(memory: str | None) -> float | None:
    """Return a size such as 16GB [bytes].

    >>> bytes_of("1.5GB"), bytes_of(None)
    (1500000000.0, None)
    """
    return None if memory is None else float(memory[:-2]) * UNITS[memory[-2:].upper()]


def choose(
    keep: Keep, memory: str | None, need: float, room: Room | None, rows: int = 0, *, whole: bool = False
) -> Choice:
    """Return whether rows stay on disk: if they would take more than half of the memory that is free.

    Args:
        keep: The setting ``dataset.keep``.
        memory: The setting ``dataset.memory``, a bound; None: half of what is free.
        need: Memory that the rows would take, or reading them [bytes].
        room: The memory that is free; None: unknown.
        rows: Number of rows, if it is known.
        whole: Whether ``need`` is an estimate of what it takes to read a file as a whole.

    Raises:
        ConfigError: If rows in memory would take more than ``dataset.memory``, or reading them from disk would; or if the
            rows of the run that is continued or repeated are elsewhere.
    """
    bound = bytes_of(memory)
    if room and room.before and keep not in ("auto", room.before):
        there = {"memory": "in memory", "disk": "on disk"}
        raise ConfigError(
            f"dataset.keep={keep}: the rows of this run are {there[room.before]}, and are visited in another order"
            f" {there[keep]}: leave it out, or start a new run from its weights: trainctl finetune RUN dataset.keep={keep}"
        )
    limit = bound if bound is not None else (room.free / 2 if room else float("inf"))
    before = room.before if room else None
    disk = before == "disk" if keep == "auto" and before else keep == "disk" or (keep == "auto" and need > limit)
    size = format_bytes(need)
    if bound is not None and not disk and need > bound:
        takes = f"reading the file as a whole takes about {size}" if whole else f"the rows take {size} in memory"
        raise ConfigError(f"dataset.memory={memory}: {takes}; set dataset.keep=disk, or allow more")
    least = max(WINDOWS * WINDOW_BYTES + rows * BYTES_A_ROW, rows * BYTES_TO_SPLIT)
    if bound is not None and disk and least > bound:
        raise ConfigError(
            f"dataset.memory={memory}: reading these rows from disk takes up to {format_bytes(least)} of memory: raise it to at least that"
        )
    return Choice(
        disk,
        _lines(
            keep, memory, need, f"{size} to read the file as a whole" if whole else f"{size} in memory", room, disk=disk
        ),
    )


def _lines(
    keep: Keep, memory: str | None, need: float, said: str, room: Room | None, *, disk: bool
) -> tuple[InferredLine, ...]:
    free = f"; {format_bytes(room.free)} of memory are free" if room else ""
    if memory is not None:
        free = f"; dataset.memory={memory}"
    if disk:
        order = f"visited in windows of {WINDOW_BYTES >> 20} MiB"
        return (("rows", f"stay on disk: {said}{free}; {order} (dataset.keep)"),)
    if need < WORTH_A_LINE and keep == "auto":
        return ()
    return (("rows", f"in memory: {format_bytes(need)}{free} (dataset.keep)"),)
