"""What the processes of a run tell each other through a store of keys: no time limit applies, and nothing is executed."""

import json
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from trainctl.errors import ProcessError
from trainctl.machine.environment import Place
from trainctl.machine.presence import Presence

AGENT = "TORCHELASTIC_USE_AGENT_STORE"  # set by torchrun
POLL, POLL_MOST = 0.01, 0.2  # between two looks into the store, at first and later [s]


@dataclass
class Notices:
    """What one process says to the others, and learns from them.

    Args:
        place: The place of this process.
        store: Keys and values that all processes read.
        presence: In the first process: who of the others lives.
        is_lost: Whether the first process, and with it the store, is gone.
    """

    place: Place
    store: Any
    presence: Presence | None = field(default=None, kw_only=True)
    is_lost: bool = field(default=False, kw_only=True)

    @property
    def server(self) -> str:
        """Who serves the store, in words: an agent of torchrun survives the first process."""
        who = "torchrun" if self.place.by == "torchrun" and os.environ.get(AGENT) == "True" else "process 0"
        return f"{who} on {self.place.address}"

    def publish(self, key: str, value: Any) -> None:
        """Set a key in the store, unless the store is gone."""
        with suppress(RuntimeError):
            self.store.set(key, json.dumps(value))

    def published(self, key: str) -> Any:
        """Return the value of a key; None if it is not set.

        Raises:
            ProcessError: If the store is gone.
        """
        try:
            return json.loads(self.store.get(key)) if self.store.check([key]) else None
        except RuntimeError as error:
            self.is_lost = True
            raise ProcessError(f"{self.server} is gone", known=False) from error

    def noticed(self, key: str) -> Any:
        """Return the value of a key; None if it is not set, or the store is gone."""
        with suppress(ProcessError):
            return self.published(key)

    def wait_for(self, *keys: str) -> Any:
        """Wait, as long as the others live, for the first of some keys, and return its value.

        Raises:
            ProcessError: If another process has failed, or the first one is gone.
        """
        pause = POLL
        while True:
            for key in keys:
                if (value := self.published(key)) is not None:
                    return value
            if self.published("failed") is not None:
                raise self.failure()
            if self.presence:
                self.presence.check()
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_MOST)

    def fail(self, message: str, exit_code: int) -> None:
        """Publish the reason why this process fails, before it leaves."""
        entry = {"rank": self.place.rank, "host": platform.node(), "message": message, "exit_code": exit_code}
        self.publish(f"failed/{self.place.rank}", entry)
        self.publish("failed", self.place.rank)

    def failure(self, wait: float = 0.0) -> ProcessError:
        """Return the error of the process that failed; if it has not said why, wait for that [s]."""
        end = time.monotonic() + wait
        while True:
            rank = None
            with suppress(ProcessError):
                rank = self.published("failed")
                if rank is not None and (entry := self.published(f"failed/{rank}")):
                    where = f"process {entry['rank']} on {entry['host']}"
                    lines = [f"{where}: {line}" for line in entry["message"].split("\n")]
                    return ProcessError("\n".join(lines), entry["exit_code"])
            if time.monotonic() >= end:
                return ProcessError("another process has failed", known=False)
            time.sleep(POLL)

    def _has(self, key: str) -> bool:
        try:
            return bool(self.store.check([key]))
        except RuntimeError:
            return False
