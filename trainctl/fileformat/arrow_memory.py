"""pyarrow with the allocator of the system: its own one reserves a gigabyte, and keeps what it has. Imports no torch."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

POOL = "ARROW_DEFAULT_MEMORY_POOL"  # read when pyarrow is imported, and once only


def import_arrow(name: str) -> Any:
    """Import pyarrow or a module of it, such as ``pyarrow.csv``.

    A limit of the system on the memory of a process (``ulimit -v``, ``ulimit -d``) counts what an allocator reserves.
    """
    chosen = os.environ.get(POOL)
    os.environ.setdefault(POOL, "system")
    try:
        return importlib.import_module(name)
    finally:
        if chosen is None:
            del os.environ[POOL]


@contextmanager
def memory_of_the_system(*, installed: bool) -> Iterator[None]:
    """Let pyarrow take memory from the system for each part, and return it at the end, also if others imported it before."""
    if not installed:
        yield
        return
    arrow = import_arrow("pyarrow")
    before = arrow.default_memory_pool()
    arrow.set_memory_pool(arrow.system_memory_pool())
    try:
        yield
    finally:
        arrow.default_memory_pool().release_unused()
        arrow.set_memory_pool(before)
