"""Ctrl-C, SIGTERM and SIGHUP: the loop stops after its step; elsewhere, and at a second Ctrl-C, the process leaves at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from trainctl.errors import Interrupted, Terminated

STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SAVE = getattr(signal, "SIGUSR1", None)


class Terminate(KeyboardInterrupt):
    """SIGTERM or SIGHUP outside the loop; like Ctrl-C, it is caught by nothing that catches errors."""


class Stopped(Exception):
    """A stop was asked for in the midst of something that can be repeated."""


class _Signals:
    """A context with handlers of signals; outside the main thread it hears nothing."""

    def __init__(self) -> None:
        self._before: dict[int, object] = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError

    def _watched(self) -> tuple[int, ...]:
        return STOP

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # What is ignored stays ignored: nohup, and a shell's jobs in the background.
            heard = [number for number in self._watched() if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._hear) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)  # type: ignore[arg-type]

    def _leave(self, number: int) -> None:
        """Leave at once, and hear no more of that signal: nothing is to interrupt the leaving."""
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminate


class ExitImmediately(_Signals):
    """Signals end what is done: there is nothing to finish, or it is done again when the run is resumed."""

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._leave(number)


class StopRequest(_Signals):
    """Signals only leave a note; a second one that is Ctrl-C leaves at once. SIGUSR1 asks for a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.received: int | None = None
        self.save = False

    def _watched(self) -> tuple[int, ...]:
        return STOP if SAVE is None else (*STOP, SAVE)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if number == SAVE:
            self.save = True
        elif self.received is None:
            self.received = number
        elif number == signal.SIGINT:
            self._leave(number)

    def check(self) -> None:
        """Break off what can be repeated.

        Raises:
            Stopped: If a stop was asked for.
        """
        if self.received is not None:
            raise Stopped

    def error(self, message: str) -> Interrupted | Terminated:
        """Return the error that the received signal stands for; without one, that of Ctrl-C, as it was planned."""
        if self.received in (None, signal.SIGINT):
            return Interrupted(message, planned=self.received is None)
        return Terminated(message)
