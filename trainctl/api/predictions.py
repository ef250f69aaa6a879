"""What a model predicts for rows: arrays, and a table with the columns of `trainctl predict`."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from trainctl.api.table import Table
from trainctl.finished.inputs import Label
from trainctl.finished.predict import as_values
from trainctl.finished.predictor import Answers, Predictor


class Predictions(Table):
    """The predictions of rows, in their order; as a table, one row for each with the columns of `trainctl predict`.

    Args:
        predictor: What has predicted.
        answers: What it says of portions of the rows.
        labels: What identifies each row.
        notes: What is odd about the rows, a line each.
    """

    def __init__(
        self, predictor: Predictor, answers: Sequence[Answers], labels: Sequence[Label], notes: Sequence[str]
    ) -> None:
        super().__init__(())
        self._predictor, self._answers, self._labels = predictor, answers, labels
        self.notes: tuple[str, ...] = tuple(notes)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the probabilities; empty unless the task is a classification."""
        return self._predictor.schema.class_names if self._predictor.task == "classification" else ()

    @cached_property
    def _numbers(self) -> np.ndarray:
        return np.concatenate([found.numbers.numpy() for found in self._answers])

    @property
    def probabilities(self) -> np.ndarray | None:
        """The probability of each class ``(N, K)``; None unless the task is a classification."""
        return self._numbers if self.classes else None

    @property
    def values(self) -> np.ndarray:
        """The predictions: names of classes ``(N,)``; values ``(N,)``, of several targets ``(N, K)``; reconstructions.

        A reconstruction has the shape of a row, in scaled units.
        """
        task = self._predictor.task
        if task == "classification":
            best = [code for found in self._answers for code in found.best]
            return np.array(self.classes, dtype=str)[best]
        if task == "regression":
            return self._numbers[:, 0] if self._numbers.shape[1] == 1 else self._numbers
        return self._numbers[:, 1:].reshape(-1, *self._predictor.schema.input_shape)

    def _all(self) -> list[dict[str, Any]]:
        return self._rows

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        columns = self._predictor.columns
        cells = (row for found in self._answers for row in self._predictor.cells(found))
        return [label | as_values(columns, row) for label, row in zip(self._labels, cells, strict=True)]

    def __len__(self) -> int:
        return len(self._labels)
