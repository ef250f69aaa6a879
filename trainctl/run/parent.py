"""The runs from which another run is made: it starts from one, learns from others, or consists of them."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.settings.config import Config

Role = Literal["start", "teacher", "part", "ranking"]


@dataclass(frozen=True)
class Parent:
    """What a run needs of another run: a copy of it lies in the run's own directory, in ``parents/<n>``.

    Args:
        role: ``start``: its weights are the initial ones; ``teacher``: its outputs are targets; ``part``: its weights are
            merged, or a part of the model; ``ranking``: the magnitudes of its weights decide which weights are pruned.
        name: Name of its run directory.
        path: Its run directory when it was read, as text.
        step: Number of optimizer steps that its weights were trained for.
        weights_sha256: SHA-256 of the file of its weights [hex].
        config_sha256: SHA-256 of its `config.yaml` [hex].
        config: Its configuration.
        schema: The schema of its data.
        fitted: Cleaning and scalings fitted to its training rows.
        model: Its weights, by the names of the model's state.
        made_by: How it was itself made: the command and its settings; None for a run that was trained from scratch.
        parents: What is known of its own parents: a plain description of each, see :meth:`facts`.
    """

    role: Role
    name: str
    path: str
    step: int
    weights_sha256: str
    config_sha256: str
    config: Config
    schema: Schema
    fitted: Fitted
    model: dict[str, Tensor]
    made_by: dict[str, Any] | None = None
    parents: tuple[dict[str, Any], ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return the plain description of this parent that is written to `run.json`."""
        return {
            "role": self.role,
            "name": self.name,
            "path": self.path,
            "step": self.step,
            "weights_sha256": self.weights_sha256,
            "config_sha256": self.config_sha256,
            "made_by": self.made_by,
            "parents": list(self.parents),
        }


def of_role(parents: tuple[Parent, ...], role: Role) -> tuple[Parent, ...]:
    """Return the parents with a role, in their order."""
    return tuple(parent for parent in parents if parent.role == role)
