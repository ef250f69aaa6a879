"""Ctrl-C, SIGTERM and SIGHUP: the training loop finishes its step and saves; anywhere else the process exits immediately."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from trainctl.errors import Interrupted, Terminated

STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SAVE = getattr(signal, "SIGUSR1", None)


class Terminate(KeyboardInterrupt):
    """SIGTERM or SIGHUP outside the loop; like Ctrl-C, it passes through every ``except Exception``."""


class Stopped(Exception):
    """A signal asked to stop while something was running that can be repeated."""


class _Signals:
    """Abstract: a context in which signals are handled; outside the main thread it handles none."""

    def __init__(self) -> None:
        self._before: dict[int, object] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError

    def _handled(self) -> tuple[int, ...]:
        return STOP

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # A signal that is ignored stays ignored: nohup, and a shell's jobs in the background.
            numbers = [number for number in self._handled() if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)  # type: ignore[arg-type]

    def _exit(self, number: int) -> None:
        """Exit immediately, and ignore that signal from now on: nothing may interrupt the exit."""
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminate


class ExitImmediately(_Signals):
    """Signals end the process: there is nothing to finish, or it is repeated when the run is resumed."""

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._exit(number)


class StopRequest(_Signals):
    """Signals are only recorded; a second Ctrl-C exits immediately. SIGUSR1 asks for a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.received: int | None = None
        self.save = False

    def _handled(self) -> tuple[int, ...]:
        return STOP if SAVE is None else (*STOP, SAVE)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == SAVE:
            self.save = True
        elif self.received is None:
            self.received = number
        elif number == signal.SIGINT:
            self._exit(number)

    def check(self) -> None:
        """Break off something that can be repeated.

        Raises:
            Stopped: If a signal has asked to stop.
        """
        if self.received is not None:
            raise Stopped

    def error(self, message: str) -> Interrupted | Terminated:
        """Return the error that the received signal stands for; without a signal, a planned Ctrl-C."""
        if self.received in (None, signal.SIGINT):
            return Interrupted(message, planned=self.received is None)
        return Terminated(message)
