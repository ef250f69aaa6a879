"""Estimators for scikit-learn: `Classifier` and `Regressor` train a network on arrays and data frames.

    from trainctl.sklearn import Classifier

    GridSearchCV(Classifier(epochs=20), {"lr": [0.001, 0.01]}).fit(X, y)

`fit` writes the rows to a temporary directory, trains there as `trainctl.train` does, and keeps the weights in memory.
"""

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from trainctl.api.memory import Network
from trainctl.errors import Advice, TrainctlError

LEAST_ROWS = 2
LARGEST_SEED = 2**31 - 1


class _Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators share; every parameter but the last three has a setting of the same meaning."""

    def __init__(
        self,
        *,
        model: str = "mlp",
        optimizer: str = "adam",
        lr: float | None = None,
        epochs: int = 50,
        batch_size: int = 32,
        scale: str = "standard",
        clean: str = "none",
        validation_fraction: float = 0.1,
        settings: Mapping[str, object] | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
        quiet: bool = True,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.scale = scale
        self.clean = clean
        self.validation_fraction = validation_fraction
        self.settings = settings
        self.device = device
        self.random_state = random_state
        self.quiet = quiet

    @property
    def _takes_gaps(self) -> bool:
        return self.clean == "impute"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_gaps
        return tags

    def _validated(self, X: Any, **options: Any) -> Any:
        finite = "allow-nan" if self._takes_gaps else True
        return validate_data(self, X, ensure_all_finite=finite, dtype=np.float64, **options)

    def _train(self, X: np.ndarray, targets: np.ndarray, task: str, loss: str) -> None:
        """Train on checked rows, and keep the network, its evaluations and the number of passes."""
        from trainctl.api.training import train

        seed = int(check_random_state(self.random_state).randint(LARGEST_SEED))
        chosen = {
            "dataset.task": task,
            "loss": loss,
            "seed": seed,
            "split.seed": seed,
            "split.val_fraction": self.validation_fraction,
            "split.test_fraction": 0,  # scikit-learn measures by itself
            "loop.epochs": int(self.epochs),
            "loop.batch_size": int(self.batch_size),
            "device": self.device,
            "output.plots": False,
        }
        chosen |= {"optimizer.lr": float(self.lr)} if self.lr is not None else {}
        groups = {"model": self.model, "optimizer": self.optimizer, "scale": self.scale, "clean": self.clean}
        with tempfile.TemporaryDirectory(prefix="trainctl-") as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", Advice)  # on rows, which scikit-learn's users know
            file = Path(folder) / "rows.npz"
            np.savez(file, inputs=X, targets=targets)
            typed = ["dataset=arrays", f"dataset.path={file}", *(f"{group}={name}" for group, name in groups.items())]
            own = {"output.root": f"{folder}/runs", **(self.settings or {})}
            run = train(*typed, settings=chosen | own, quiet=self.quiet)
            self.network_ = Network.of(run)
            self.metrics_ = list(run.metrics)
            self.n_iter_ = int(self.epochs)


class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A network that predicts classes.

    Args:
        model: A member of the group `model`, such as ``mlp`` or ``linear``; `trainctl list model` shows all.
        optimizer: A member of the group `optimizer`.
        lr: Learning rate; None: that of the optimizer's YAML file.
        epochs: Passes over the training rows.
        batch_size: Rows per step.
        scale: A member of the group `scale`.
        clean: A member of the group `clean`; with ``impute``, rows may have NaN.
        validation_fraction: Of the rows, by which the best weights are chosen, in (0, 1).
        settings: Further settings by their keys, such as ``{"schedule": "cosine", "model.hidden": [64]}``.
        device: Where to compute: ``cpu``, ``cuda``, ``auto``.
        random_state: Seed of initial weights, split and order of rows; None draws one.
        quiet: Whether nothing is shown during `fit`.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on rows ``(N, F)`` and their classes ``(N,)``.

        Raises:
            ValueError: If the rows or classes are not valid.
            TrainctlError: If a setting is wrong, or training fails.
        """
        X, y = self._validated(X, y=y, reset=True)
        check_classification_targets(y)
        self.classes_ = unique_labels(y)
        if len(self.classes_) < 2:
            raise ValueError(f"Classifier needs at least two classes; y contains one class: {self.classes_[0]!r}")
        codes = np.searchsorted(self.classes_, y)
        self._train(X, codes.astype(np.int64), "classification", "cross_entropy")
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class ``(N, K)``, in the order of ``classes_``."""
        check_is_fitted(self, "network_")
        return self.network_(self._validated(X, reset=False))

    def predict(self, X: Any) -> np.ndarray:
        """Return the classes of rows ``(N,)``."""
        check_is_fitted(self, "network_")
        names: np.ndarray = self.classes_
        found: np.ndarray = names[self.predict_proba(X).argmax(1)]
        return found


class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A network that predicts numbers; its parameters are those of :class:`Classifier`."""

    def fit(self, X: Any, y: Any) -> Self:
        """Train on rows ``(N, F)`` and their targets ``(N,)`` or ``(N, K)``.

        Raises:
            ValueError: If the rows or targets are not valid.
            TrainctlError: If a setting is wrong, or training fails.
        """
        X, y = self._validated(X, y=y, reset=True, multi_output=True, y_numeric=True)
        if len(X) < LEAST_ROWS:
            raise ValueError(
                f"Regressor needs at least {LEAST_ROWS} samples, one for validation; found {len(X)} sample"
            )
        self._flat = y.ndim == 1
        targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        self._train(X, targets, "regression", "mse")
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted targets, in the shape of those in `fit`."""
        check_is_fitted(self, "network_")
        values = self.network_(self._validated(X, reset=False)).astype(np.float64)
        return values[:, 0] if self._flat else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


__all__ = ["Classifier", "Regressor", "TrainctlError"]
