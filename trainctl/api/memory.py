"""A trained network in memory, which needs no files any more: it can be copied and pickled."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainctl.api.opened import Run
from trainctl.api.surroundings import as_before
from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.finished.open import with_weights
from trainctl.finished.predictor import Predictor
from trainctl.finished.source import as_rows, cleaned
from trainctl.settings import existing

PLACE = Path("a network in memory")  # in messages


@dataclass
class Network:
    """A network with its cleaning and scalings, for rows that are arrays.

    Args:
        settings: The configuration of its run.
        schema: Of its data, as :meth:`Schema.to_json` writes it.
        tensors: Its weights.
        fitted: Its cleaning and scalings.
    """

    settings: dict[str, Any]
    schema: dict[str, Any]
    tensors: dict[str, Tensor]
    fitted: Fitted
    _built: Predictor | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, run: Run) -> "Network":
        """Return the network of a run."""
        weights = run._opened.weights(run.which)
        tensors = {name: tensor.clone() for name, tensor in weights.model.items()}
        return cls(run.config, run._opened.schema.to_json(), tensors, weights.fitted)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_built": None}  # it is built again from the weights

    @property
    def predictor(self) -> Predictor:
        """The network, built when it is first used."""
        if self._built is None:
            config, schema = existing.load(self.settings), Schema.from_json(self.schema, PLACE)
            with as_before():
                model, task, device = with_weights(config, schema, self.tensors, PLACE)
            self._built = Predictor(model, task, device, config.precision, schema, self.fitted)
        return self._built

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return probabilities or values ``(N, K)`` for raw rows ``(N, F)``.

        Raises:
            DataError: If rows have missing values, and the network was trained without imputation.
        """
        found = self.predictor
        read, _ = cleaned(as_rows(rows, found.schema, PLACE), found.fitted, found.schema, PLACE)
        size = int(self.settings["loop"]["eval_batch_size"])
        return torch.cat([found(portion).numbers for portion in read.split(size)]).numpy()
