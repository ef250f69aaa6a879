"""What is found out about a run as a whole, and how its numbers are written."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainctl.data.rows import SplitName
from trainctl.finished.permutation import Importance
from trainctl.report.table import harmless
from trainctl.store import files
from trainctl.store.runpath import AnyPath


@dataclass
class Overview:
    """What was found out about a run.

    Args:
        split: The split whose rows were measured.
        rows: How many rows it has.
        folder: Where files are written.
        spreadsheet: Whether names that a spreadsheet would run as a formula get a quote in front.
        about: Run, data and split, for the line below the title of a picture.
        shuffled: What was shuffled, in words.
        effect: What an importance is, in words.
        importances: Of each part, in their order.
        lines: What was found, a line each.
        notes: What the user is to know, a line each.
        pictures: Names of the pictures.
        numbers: What `explain.json` contains besides.
    """

    split: SplitName
    rows: int
    folder: AnyPath
    spreadsheet: bool = False
    about: str = ""
    shuffled: str = ""
    effect: str = ""
    importances: list[Importance] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def picture(self, name: str) -> AnyPath:
        """Return the path of a picture that is about to be drawn, and remember its name."""
        self.pictures.append(name)
        return self.folder / name

    def write_csv(self, name: str, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
        """Write a CSV file.

        Raises:
            StorageError: If it cannot be written.
        """
        text = io.StringIO()
        guard = harmless if self.spreadsheet else str
        csv.writer(text, lineterminator="\n").writerows(map(guard, line) for line in [header, *lines])
        files.write_bytes(self.folder / name, text.getvalue().encode(errors="backslashreplace"))
