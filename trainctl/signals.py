"""Ctrl-C and SIGTERM: ask the loop to stop after its step; a second Ctrl-C leaves at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from trainctl.errors import Interrupted, Terminated, TrainctlError

WATCHED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopRequest:
    """A context in which signals only leave a note; outside the main thread, and in children, it watches nothing."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # What is ignored stays ignored: nohup, and a shell's jobs in the background.
            heard = [number for number in WATCHED if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def error(self, message: str) -> TrainctlError:
        """Return the error that the received signal stands for; without one, that of Ctrl-C."""
        return Interrupted(message) if self.received in (None, signal.SIGINT) else Terminated(message)
