"""Collect damaged inputs: one error lists them all, or one note if they are skipped. Imports no torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from trainctl.errors import DataError

LISTED = 20  # in an error
NAMED = 5  # in a note
KEY = "dataset.damaged=skip"
SKIPPED = "skipped "  # how the note begins


@dataclass
class Damage:
    """What cannot be read.

    Args:
        where: The directory or file, for messages.
        what: What is counted, in the plural: ``images``.
        action: ``error`` or ``skip``.
        reasons: The error of each.
        notes: What was skipped, a line; empty if nothing was.
    """

    where: str
    what: str
    action: str
    reasons: list[DataError] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Read one in this block: its error is kept."""
        try:
            yield
        except DataError as error:
            self.reasons.append(error)

    def check(self, total: int) -> None:
        """Note what was skipped of so many.

        Raises:
            DataError: If damaged ones may not be skipped, or nothing is left.
        """
        if not self.reasons:
            return
        count = len(self.reasons)
        if self.action == "skip" and count < total:
            shown = "; ".join(str(error) for error in self.reasons[:NAMED])
            more = f"; and {count - NAMED:,} more" if count > NAMED else ""
            self.notes = (f"{SKIPPED}{count:,} of {total:,} {self.what} that cannot be read: {shown}{more}",)
            return
        if count == 1:
            raise DataError(f"{self.reasons[0]}; {KEY} leaves it out" if total > 1 else str(self.reasons[0]))
        hint = f"; {KEY} leaves them out" if count < total else ""
        rest = [f"and {count - LISTED:,} more"] if count > LISTED else []
        first = f"{self.where}: {count:,} of {total:,} {self.what} cannot be read{hint}"
        raise DataError(first, *map(str, self.reasons[:LISTED]), *rest)
