"""Which machine, container, boot and process this is: so that one that has ended is known from another of its number."""

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path


def of(pid: int) -> str:
    """Return the machine, container, boot and start of a process; "" if it has ended, or the system does not tell."""
    when = started(pid)
    return f"{machine()} {namespace()} {when}" if when else ""


def started(pid: int) -> str:
    """Return in which boot, and when since then [ticks], a process started; "" if the system does not tell, or it ended."""
    with suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if state in "ZX" else f"{boot} {fields[18]}"  # proc(5): field 22 of all, 3 is the state
    return ""


def namespace() -> str:
    """Return what distinguishes containers that share a host name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@cache
def machine() -> str:
    """Return a text that identifies the machine among those of the same name; "" if unknown."""
    with suppress(OSError):
        text = Path("/etc/machine-id").read_text(errors="replace").strip()
        return hashlib.sha256(f"trainctl {text}".encode()).hexdigest()[:16] if text else ""
    return ""
