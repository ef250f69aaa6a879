"""Define typed dataclasses for the run's own settings; `conf/train.yaml` contains their defaults.

A configuration starts as a plain tree (nested dicts, as YAML is read), is checked as a whole, and becomes a
:class:`Config`. The annotations are the schema; see :mod:`trainctl.settings.schema`.
"""

import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, Any, Literal

from trainctl.settings import component

Tree = dict[str, Any]
Positive = Annotated[int, "[1, inf)"]

NAME, TAG = r"re:[A-Za-z0-9][A-Za-z0-9_.+=,-]{0,59}", r"re:[A-Za-z0-9][A-Za-z0-9_.+:-]{0,39}"
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_DAYS = 10_000  # the functions of the system that wait overflow after ten times as many


def seconds(duration: str) -> float:
    """Return a duration such as ``10m`` in seconds.

    >>> seconds("1.5m")
    90.0
    """
    return float(duration[:-1]) * UNITS[duration[-1]]


def unusable(duration: str) -> str:
    """Return what is wrong with the length of a duration; empty if nothing is.

    >>> unusable("0.0s"), unusable("0.1s"), unusable("10000d"), unusable("240001h")
    ('expected more than 0 s', '', '', 'expected at most 10000d')
    """
    if seconds(duration) == 0:
        return "expected more than 0 s"
    return f"expected at most {LONGEST_DAYS}d" if seconds(duration) > LONGEST_DAYS * UNITS["d"] else ""


class Resumable:
    """Marks a setting that may change when a run is resumed, as in ``Annotated[bool, Resumable]``."""


@dataclass(frozen=True)
class Split:
    """How rows are split into training, validation and test."""

    val_fraction: Annotated[float, "(0, 1)"]
    test_fraction: Annotated[float, "[0, 1)"]
    seed: Annotated[int, "[0, 4294967295]"]
    labels: Positive | None = None
    omit: list[str | int] = field(default_factory=list)


@dataclass(frozen=True)
class Loop:
    """How long to train, and in batches of what size."""

    epochs: Annotated[Positive | None, Resumable]
    max_steps: Annotated[Positive | None, Resumable]
    max_time: Annotated[Annotated[str, r"re:\d+(\.\d+)?[smhd]", "a time such as 90s, 10m, 2h or 1d"] | None, Resumable]
    batch_size: Positive | Literal["full"]
    eval_batch_size: Annotated[Positive, Resumable]
    micro_batches: Positive
    clip_norm: Annotated[float, "(0, inf)"] | None
    clip_value: Annotated[float, "(0, inf)"] | None
    eval_every_steps: Positive | None
    stop_at_step: Annotated[Positive | None, Resumable]
    on_nonfinite: Annotated[Literal["stop", "skip", "rewind"], Resumable]
    record: Literal["auto", "always", "never"]
    checkpoint_activations: Annotated[bool, Resumable]
    compile: bool

    @property
    def max_seconds(self) -> float | None:
        """Return the budget of wall-clock time [s], or None."""
        return None if self.max_time is None else seconds(self.max_time)


@dataclass(frozen=True)
class Checkpoint:
    """How often checkpoints are written, and how many are kept."""

    every_seconds: Annotated[float, "[0, inf)", Resumable]
    keep: Annotated[int, "[2, inf)", Resumable]


@dataclass(frozen=True)
class Distributed:
    """How several processes train one run."""

    sum: Annotated[Literal["exact", "fast"], Resumable]
    restarts: Annotated[int, "[0, 100]", Resumable]
    timeout: Annotated[Annotated[str, r"re:\d+(\.\d+)?[smhd]", "a time such as 90s, 10m, 2h or 1d"], Resumable]
    split_state: Annotated[bool, Resumable]
    shard: Annotated[bool, Resumable]

    @property
    def seconds(self) -> float:
        """The longest time that one process waits for another one inside a step [s]."""
        return seconds(self.timeout)


@dataclass(frozen=True)
class Output:
    """Where the run directory is created, and what it contains in addition to the records."""

    root: Annotated[str, "path"]
    plots: Annotated[bool, Resumable]
    name: Annotated[str, NAME, "a name of letters, digits and ._+=,-"] | None = None
    tags: Annotated[list[Annotated[str, TAG, "a word of letters, digits and ._+:-"]], Resumable] = field(
        default_factory=list
    )


@dataclass(frozen=True)
class Config:
    """The whole configuration of one run, checked."""

    seed: Annotated[int, "[0, 4294967295]"]
    device: Annotated[str, r"re:auto|cpu|mps|cuda(:\d+)?", "auto, cpu, mps, cuda or cuda:1", Resumable]
    precision: Literal["fp32", "bf16", "fp16"]
    threads: Annotated[  # OpenMP crashes with many more threads
        Annotated[int, "[1, 1024]"] | Literal["adapt"] | None, Resumable
    ]
    processes: Annotated[Annotated[int, "[1, 65536]"] | Literal["auto"], Resumable]
    monitor: Annotated[str, "re:val/[a-z0-9_]+", "a metric such as val/loss"]
    decay_norm_and_bias: bool
    layer_decay: Annotated[float, "(0, 1]"]
    head_lr_factor: Annotated[float, "(0, inf)"]
    components: list[Annotated[str, r"re:[A-Za-z_]\w*", "the name of a package"]]
    split: Split
    loop: Loop
    checkpoint: Checkpoint
    distributed: Distributed
    output: Output
    parts: Mapping[str, Tree]
    tree: Tree

    def members(self, group: str) -> list[Tree]:
        """Return the selected members of a group: exactly one, or any number if the group takes several."""
        settings = self.parts[group]
        return list(settings.values()) if group in component.ADDITIVE else [settings]

    @property
    def has_own_components(self) -> bool:
        """Whether a member that is selected is of a package of the user; that there are such packages is not enough."""
        if not self.components:
            return False
        selected = [(group, str(settings["name"])) for group in component.GROUPS for settings in self.members(group)]
        return any(component.source(group, name) is None for group, name in selected)

    @property
    def learns_without_labels(self) -> bool:
        """Whether a teacher makes rows without a label useful; otherwise a missing label is an error, or is dropped."""
        return bool(self.parts["teacher"]["name"] != "none")

    def monitored(self, group: str) -> str:
        """Return the metric that the member of a group monitors: its own, or else the run's."""
        return str(self.parts[group].get("monitor", self.monitor))


WITH_PATHS = ("dataset", "model", "init", "teacher", "compress")  # groups whose members have paths
SECTIONS: dict[str, type] = {
    "split": Split,
    "loop": Loop,
    "checkpoint": Checkpoint,
    "distributed": Distributed,
    "output": Output,
}


@cache
def knobs(cls: type = Config) -> dict[str, Any]:
    """Return the annotations of a dataclass of settings, without its sections and the groups of components."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls) if field.name not in {*SECTIONS, "parts", "tree"}}


def resumable() -> tuple[str, ...]:
    """Return the keys of the settings that may change when a run is resumed."""
    annotations = knobs() | {
        f"{name}.{key}": kind for name, cls in SECTIONS.items() for key, kind in knobs(cls).items()
    }
    return tuple(key for key, kind in annotations.items() if Resumable in getattr(kind, "__metadata__", ()))


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a tree to ``{"optimizer.lr": 0.001}``.

    >>> leaves({"a": {"b": 1, "c": [2]}})
    {'a.b': 1, 'a.c': [2]}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        flat |= leaves(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
    return flat


def slug(text: str, length: int = 60) -> str:
    """Convert text to a part of a file name: letters, digits, ``=``, ``+``, ``,``, ``.``, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9=,._+]+", "-", text).strip("-.")[:length].rstrip("-.") or "run"
