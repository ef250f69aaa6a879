"""What signals to any of the processes of a run request, agreed among all."""

import time
from typing import TYPE_CHECKING

from trainctl.errors import TrainctlError
from trainctl.machine.notices import POLL_MOST
from trainctl.machine.signals import Stopped, StopRequest

if TYPE_CHECKING:
    from trainctl.machine.link import Link


class AgreedRequest:
    """What signals to any of the processes request; it changes in all processes after the same step.

    Args:
        link: The connection to the others.
        own: Receives the signals of this process.
    """

    def __init__(self, link: "Link", own: StopRequest) -> None:
        self.link, self.own = link, own
        self.received: int | None = None
        self.save = False
        self.polled = time.monotonic()

    def wishes(self) -> tuple[int, int]:
        """Return the signal that this process received, or 0, and whether it is to save; the caller shares both."""
        saves, self.own.save = self.own.save, False
        return self.own.received or 0, int(saves)

    def take_in(self, signals: list[int], saves: list[int]) -> None:
        """Learn what all processes received."""
        if self.received is None and any(signals):
            self.received = max(signals)
        self.save = self.save or any(saves)

    def settle(self) -> None:
        """Ask all processes what they have received; every one must call it."""
        wishes = self.link.share(self.wishes())
        self.take_in([signal for signal, _ in wishes], [saves for _, saves in wishes])

    def check(self) -> None:
        """Interrupt work that can be repeated, if any process has received a signal.

        Raises:
            Stopped: If one has.
        """
        if self.own.received is not None:
            self.link.publish("stop", True)
            raise Stopped
        if time.monotonic() - self.polled > POLL_MOST:
            self.polled = time.monotonic()
            if self.link.published("stop"):
                raise Stopped

    def error(self, message: str) -> TrainctlError:
        """Return the error for the signal; without a signal, a planned interruption."""
        self.own.received = self.received
        return self.own.error(message)
