"""A table of all evaluations."""

import csv as tables
import io
from collections.abc import Callable, Mapping
from typing import BinaryIO

from trainctl.components.logger.base import Folder, Logger, Session, Steps

METRICS, SETTINGS = "metrics.csv", "settings.csv"


def csv(*, folder: Callable[[str], Folder]) -> Logger:
    """Write all evaluations to ``<run>/csv/metrics.csv``, one row per step, and the settings to ``settings.csv``.

    A metric that appears later, such as those of the test split, becomes a new column; cells without a value are empty.
    Pictures are in ``<run>/plots`` anyway.

    Args:
        folder: Returns a folder of the run's directory. Supplied by ``assemble``.
    """
    table = Table(folder("csv"))
    return Logger(table.log, table.close, table.restart, table.start)


class Table:
    """The file of a run's evaluations.

    Args:
        folder: The folder in which it is.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.rows: dict[int, dict[str, float]] = {}
        self.columns: list[str] = []
        self.file: BinaryIO | None = None

    def start(self, session: Session) -> None:
        """Write the settings."""
        if SETTINGS in self.folder.names():
            self.folder.remove(SETTINGS)
        with self.folder.create(SETTINGS) as file:
            file.write(_lines(("setting", "value"), *session.settings.items()))

    def restart(self, rows: Steps) -> None:
        """Write the evaluations that still count, and no others."""
        self.rows, self.columns = {}, []
        for step, metrics in rows:
            self._add(step, metrics)
        self._rewrite()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write an evaluation: append a row, or write all rows again if there are new columns."""
        later = not self.rows or step > max(self.rows)
        columns = len(self.columns)
        self._add(step, metrics)
        if self.file is None or not later or len(self.columns) > columns:
            self._rewrite()
        else:
            self.file.write(_lines(self._cells(step)))
            self.file.flush()

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def _add(self, step: int, metrics: Mapping[str, float]) -> None:
        self.rows.setdefault(step, {}).update(metrics)
        self.columns += [name for name in metrics if name not in self.columns]

    def _cells(self, step: int) -> list[object]:
        return [step, *(self.rows[step].get(name, "") for name in self.columns)]

    def _rewrite(self) -> None:
        self.close()
        if METRICS in self.folder.names():
            self.folder.remove(METRICS)
        self.file = self.folder.create(METRICS)
        self.file.write(_lines(["step", *self.columns], *map(self._cells, sorted(self.rows))))
        self.file.flush()


def _lines(*rows: tuple[object, ...] | list[object]) -> bytes:
    """Return lines of CSV."""
    text = io.StringIO()
    tables.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
