"""What is learned about the columns of a table while their values come part by part: texts, and the spread of numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.cells import is_missing
from trainctl.fileformat.label import Codes

MOST_TEXTS = 10_000  # distinct texts of a column; more are no categories and no classes
FAR = 50  # deviations from 0, from which on float32 may lose digits that matter: the file then has float64


class Texts:
    """The distinct texts of a column, numbered in the order in which they come.

    Args:
        where: The file and the column, for messages.
        hint: What to do if there are too many.
    """

    def __init__(self, where: str, hint: str) -> None:
        self.where, self.hint = where, hint
        self.numbers: dict[str, int] = {}
        self.counts: Counter[str] = Counter()

    def codes(self, cells: Sequence[str]) -> np.ndarray:
        """Return the number of each text ``(N,)`` in float64, NaN where it is missing."""
        counts = Counter(cells)
        known = self.learn(counts)
        return np.array([known[cell] for cell in cells])

    def learn(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Count texts; return the number of each, NaN for those that mean a missing value.

        Raises:
            DataError: If a column has too many.
        """
        known = {}
        for text, count in counts.items():
            if is_missing(text):
                known[text] = np.nan
                continue
            self.counts[text] += count
            known[text] = float(self.numbers.setdefault(text, len(self.numbers)))
        if len(self.numbers) > MOST_TEXTS:
            raise DataError(f"{self.where}: has more than {MOST_TEXTS:,} distinct texts{self.hint}")
        return known

    def places(self, names: Sequence[str]) -> np.ndarray:
        """Return the place in a list of names of each text, by its number ``(n,)``; -1 where it is not there."""
        codes = Codes(names)
        found = [codes.get(text) for text in self.numbers]
        return np.array([-1 if code is None else code for code in found], dtype=np.int64)


@dataclass
class Spread:
    """Mean and deviation of the numbers of each column, as they come, and whether float32 has all of them.

    Args:
        count: Numbers that are not missing ``(F,)``.
        mean: Their mean.
        squares: The sum of their squared differences from it.
        inexact: Whether float32 lacks one of them.
        finite: Whether none is missing or infinite, in any column.
    """

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    inexact: np.ndarray
    finite: bool = True

    @classmethod
    def of(cls, columns: int) -> "Spread":
        """Return the spread of no numbers."""
        return cls(np.zeros(columns), np.zeros(columns), np.zeros(columns), np.zeros(columns, bool))

    def add(self, values: np.ndarray) -> None:
        """Add rows ``(N, F)``; means and squares are merged by the formula of Chan, Golub and LeVeque (1979)."""
        known = np.isfinite(values)
        self.finite &= bool(known.all())
        count = known.sum(0)
        plain = np.where(known, values, 0.0)
        mean = plain.sum(0) / np.maximum(count, 1)
        squares = (np.where(known, values - mean, 0.0) ** 2).sum(0)
        total = self.count + count
        share = count / np.maximum(total, 1)
        delta = mean - self.mean
        self.squares += squares + delta**2 * self.count * share
        self.mean += delta * share
        self.count = total
        self.inexact |= (plain.astype(np.float32) != plain).any(0)

    @property
    def wide(self) -> bool:
        """Whether a column is so far from 0 that float32 may lose digits that matter."""
        deviation = np.sqrt(self.squares / np.maximum(self.count, 1))
        return bool((self.inexact & (np.abs(self.mean) > FAR * deviation)).any())
