"""Find the other processes of a run: the store through which they meet."""

import os
import platform
import re
import socket
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from trainctl.errors import ProcessError, UnavailableError
from trainctl.machine import step_mark
from trainctl.machine.connection import JOINING
from trainctl.machine.environment import BY_US, Place
from trainctl.machine.link import Link
from trainctl.machine.presence import LEAST
from trainctl.settings.config import seconds

POLL = 0.2  # between two attempts to reach the first process [s]
REACHING = 10.0  # for an attempt [s]
SAY_AFTER = 30.0  # of waiting [s]; doubled each time


def join(place: Place, say: Callable[[str], object] = str) -> Link:
    """Find the other processes.

    Args:
        place: This process's place among them.
        say: Receives a line for the user while this takes long.

    Raises:
        ProcessError: If the first process was here and has ended.
        UnavailableError: If the first process cannot be found, or its port is taken.
    """
    if place.rank and place.by != "trainctl":  # whose launcher listens already
        _wait_for_first(place, patience(sys.argv[1:]), say)
    try:
        return Link(place, dist.PrefixStore("trainctl", _store(place)))
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        taken = "address already in use" in str(error).lower() or "eaddrinuse" in str(error).lower()
        advice = "another job uses this port: choose another MASTER_PORT" if taken else reason[:200]
        raise UnavailableError(
            f"MASTER_ADDR={place.address}, MASTER_PORT={place.port}: cannot be used: {advice}"
        ) from error


def patience(words: Sequence[str]) -> float:
    """Return how long to wait for the first process [s]: distributed.timeout if it is typed, but a minute at least.

    >>> patience(["train", "distributed.timeout=2m"]), patience(["distributed.timeout=5s"]), patience([])
    (120.0, 60.0, 600.0)
    """
    typed = [word.partition("=")[2] for word in words if word.startswith("distributed.timeout=")]
    if not typed or not re.fullmatch(r"\d+(\.\d+)?[smhd]", typed[-1]):  # the first process says what is wrong with it
        return JOINING
    return max(LEAST, seconds(typed[-1]))


def _wait_for_first(place: Place, limit: float, say: Callable[[str], object]) -> None:
    """Wait until the first process can be reached.

    Raises:
        ProcessError: If it was here and has ended.
        UnavailableError: If it cannot be reached within the limit [s].
    """
    began, say_at = time.monotonic(), SAY_AFTER
    where = f"process 0 at {place.address}, port {place.port}"
    while True:
        try:
            socket.create_connection((place.address, place.port), REACHING).close()
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return
        if place.by == "srun" and (code := step_mark.ended()) is not None:
            if code != step_mark.GONE:
                raise ProcessError("process 0 has ended", code)
            raise ProcessError(f"process 0 on {place.address} is gone", known=False)
        waited = time.monotonic() - began
        if waited > limit:
            raise UnavailableError(
                f"{where} was not found within {limit:g} s (distributed.timeout, if it is typed): {reason}"
            )
        if waited > say_at:
            say(f"process {place.rank} on {platform.node()} waits for {where}, for at most {limit - waited:.0f} s more")
            say_at *= 2
        time.sleep(POLL)


def _store(place: Place) -> Any:
    limit = timedelta(seconds=JOINING)
    if place.by == "torchrun":  # whose agent may already serve the store
        return next(dist.rendezvous("env://", place.rank, place.size, timeout=limit))[0]
    listening: dict[str, Any] = {}
    if BY_US in os.environ and not place.rank:
        listening["master_listen_fd"] = int(
            os.environ[BY_US]
        )  # opened by the launcher, so that nobody else has the port
    return dist.TCPStore(
        place.address, place.port, place.size, not place.rank, limit, wait_for_workers=False, **listening
    )
