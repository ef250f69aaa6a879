"""Handle Ctrl-C, SIGTERM and SIGHUP: the training loop finishes its step and saves; elsewhere the process exits immediately."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from trainctl.errors import Interrupted, Terminated

STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SAVE = getattr(signal, "SIGUSR1", None)


class Terminate(KeyboardInterrupt):
    """Raised for SIGTERM or SIGHUP outside the training loop; like Ctrl-C, no ``except Exception`` catches it."""


class Stopped(Exception):
    """Raised if a signal arrives during work that can be repeated after a resume."""


_leaving: list[int] = []  # signals for which this process exits immediately


def left_for() -> "type[KeyboardInterrupt] | None":
    """Return which exception a signal has raised since signals end this process; None if none has.

    The exception itself may be lost: where C code imports a module, it becomes an ImportError, or vanishes.
    """
    if not _leaving:
        return None
    return KeyboardInterrupt if _leaving[0] == signal.SIGINT else Terminate


class _Signals:
    """Abstract: a context that handles signals; outside the main thread it does nothing."""

    def __init__(self) -> None:
        self._before: dict[int, object] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError

    def _handled(self) -> tuple[int, ...]:
        return STOP

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # Signals that are ignored stay ignored: by nohup, or for a shell's background jobs.
            # A handler that was not installed from Python (None) could not be put back.
            left = (signal.SIG_IGN, None)
            numbers = [number for number in self._handled() if signal.getsignal(number) not in left]
            self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)  # type: ignore[arg-type]

    def _exit(self, number: int) -> None:
        """Exit immediately, and ignore this signal from now on, so that it cannot interrupt the exit."""
        signal.signal(number, signal.SIG_IGN)
        _leaving.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminate


class ExitImmediately(_Signals):
    """Signals end the process immediately: no work is lost that a resumed run does not repeat.

    SIGUSR1 requests a checkpoint, and there is nothing to save: it is ignored, where the system would kill the process.
    """

    def __enter__(self) -> Self:
        _leaving.clear()
        return super().__enter__()

    def _handled(self) -> tuple[int, ...]:
        return STOP if SAVE is None else (*STOP, SAVE)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number != SAVE:
            self._exit(number)


class ExitAlsoToSave(ExitImmediately):
    """SIGUSR1 ends the process, too: in a Slurm job it says that the time limit is near."""

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._exit(number)


class StopRequest(_Signals):
    """Signals are only recorded; a second Ctrl-C exits immediately. SIGUSR1 requests a checkpoint."""

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

    def settle(self) -> None:
        """Learn what other processes received; there are none."""

    def check(self) -> None:
        """Interrupt work that can be repeated, if a signal has been received.

        Raises:
            Stopped: If a signal has been received.
        """
        if self.received is not None:
            raise Stopped

    def error(self, message: str) -> Interrupted | Terminated:
        """Return the error for the received signal; without a signal, a planned interruption."""
        if self.received in (None, signal.SIGINT):
            return Interrupted(message, planned=self.received is None)
        return Terminated(message)
