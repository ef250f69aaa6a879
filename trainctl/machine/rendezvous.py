"""Find the other processes of a run: the store through which they meet."""

import os
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from trainctl.errors import UnavailableError
from trainctl.machine.environment import BY_US, Place
from trainctl.machine.link import JOINING, Link


def join(place: Place) -> Link:
    """Find the other processes.

    Raises:
        UnavailableError: If the first process cannot be found, or its port is taken.
    """
    try:
        return Link(place, dist.PrefixStore("trainctl", _store(place)))
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        taken = "address already in use" in str(error).lower() or "eaddrinuse" in str(error).lower()
        advice = "another job uses this port: choose another MASTER_PORT" if taken else reason[:200]
        raise UnavailableError(
            f"MASTER_ADDR={place.address}, MASTER_PORT={place.port}: cannot be used: {advice}"
        ) from error


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
