"""Train, open and use networks from Python; `trainctl` on the command line does the same. See docs/guide/python.md.

    import trainctl

    run = trainctl.train("dataset=iris", "loop.epochs=20")
    run.predict([[5.1, 3.5, 1.4, 0.2]]).values

A name is imported when it is first used (PEP 562), because PyTorch takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainctl import sklearn as sklearn
    from trainctl.api.opened import Run as Run
    from trainctl.api.opened import load as load
    from trainctl.api.predictions import Predictions as Predictions
    from trainctl.api.table import Table as Table
    from trainctl.api.training import runs as runs
    from trainctl.api.training import train as train
    from trainctl.errors import Advice as Advice
    from trainctl.errors import CheckpointError as CheckpointError
    from trainctl.errors import ConfigError as ConfigError
    from trainctl.errors import DataError as DataError
    from trainctl.errors import Interrupted as Interrupted
    from trainctl.errors import NonFiniteError as NonFiniteError
    from trainctl.errors import StorageError as StorageError
    from trainctl.errors import TrainctlError as TrainctlError
    from trainctl.errors import UnavailableError as UnavailableError

    __version__: str

# Where each public name is defined; `train` is the wing of that name, which can be called, see trainctl/train/__init__.py.
_HOMES = {
    "train": "trainctl",
    "load": "trainctl.api.opened",
    "runs": "trainctl.api.training",
    "Run": "trainctl.api.opened",
    "Predictions": "trainctl.api.predictions",
    "Table": "trainctl.api.table",
    "sklearn": "trainctl",
    **dict.fromkeys(
        (
            "TrainctlError", "ConfigError", "DataError", "CheckpointError", "StorageError", "NonFiniteError",
            "UnavailableError", "Interrupted", "Advice",
        ),
        "trainctl.errors",
    ),
}  # fmt: skip
__all__ = [
    "Advice", "CheckpointError", "ConfigError", "DataError", "Interrupted", "NonFiniteError", "Predictions", "Run",
    "StorageError", "Table", "TrainctlError", "UnavailableError", "load", "runs", "sklearn", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # takes 20 ms

        try:
            return version("trainctl")
        except PackageNotFoundError:
            return "0+checkout"
    if name not in _HOMES:
        raise AttributeError(f"module 'trainctl' has no attribute {name!r}")
    home = _HOMES[name]
    return import_module(f"trainctl.{name}") if home == "trainctl" else getattr(import_module(home), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
