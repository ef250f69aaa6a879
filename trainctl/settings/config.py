"""Define typed dataclasses for the run's own settings; `conf/train.yaml` contains their defaults.

A configuration starts as a plain tree (nested dicts, as YAML is read), is checked as a whole, and becomes a
:class:`Config`. The annotations are the schema; see :mod:`trainctl.settings.schema`.
"""

import os
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.settings import component, schema, spelling

Tree = dict[str, Any]
Positive = Annotated[int, "[1, inf)"]

URL = re.compile(r"([a-z][a-z0-9+.-]+)://")
NAME, TAG = r"re:[A-Za-z0-9][A-Za-z0-9_.+=,-]{0,59}", r"re:[A-Za-z0-9][A-Za-z0-9_.+:-]{0,39}"
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SHORTEST_TIMEOUT = 1.0  # of distributed.timeout [s]


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

    @property
    def max_seconds(self) -> float | None:
        """Return the budget of wall-clock time [s], or None."""
        return None if self.max_time is None else float(self.max_time[:-1]) * UNITS[self.max_time[-1]]


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
    split_state: Annotated[bool, Resumable] = False
    shard: Annotated[bool, Resumable] = False

    @property
    def seconds(self) -> float:
        """The longest time that one process waits for another one inside a step [s]."""
        return float(self.timeout[:-1]) * UNITS[self.timeout[-1]]


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
    def learns_without_labels(self) -> bool:
        """Whether a teacher makes rows without a label useful; otherwise a missing label is an error, or is dropped."""
        return bool(self.parts["teacher"]["name"] != "none")

    def monitored(self, group: str) -> str:
        """Return the metric that the member of a group monitors: its own, or else the run's."""
        return str(self.parts[group].get("monitor", self.monitor))


# Optimizers that update each parameter from its own gradient and state.
BY_PARAMETER = (
    "adadelta", "adagrad", "adam", "adamax", "adamw", "asgd", "lion", "muon", "nadam", "radam", "rmsprop", "sgd",
)  # fmt: skip
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


def problems(tree: Tree) -> list[str]:
    """Return everything that is wrong with a configuration, one message each; empty if nothing is."""
    expected = {*knobs(), *SECTIONS, *component.GROUPS}
    wrong = [f"{key}: {spelling.no_such('setting', key, sorted(expected))}" for key in tree if key not in expected]
    wrong += [f"{key} is missing" for key in sorted(expected - set(tree))]
    wrong += _mismatches("", tree, knobs())
    packages, missing = _packages(tree.get("components"))
    wrong += missing
    for name, cls in SECTIONS.items():
        wrong += _section_problems(name, tree.get(name), knobs(cls))
    for group in component.GROUPS:
        wrong += _group_problems(group, tree[group], packages) if group in tree else []
    return wrong or contradictions(tree)


def _packages(names: object) -> tuple[list[str], list[str]]:
    """Return the packages of components that exist, and a message for each that does not."""
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isidentifier() for name in names):
        return [], []  # reported as a value of the wrong type
    wrong = []
    for name in names:
        try:
            if not component.folders(name):
                wrong.append(f"components=[{name}]: no such package, neither installed nor in this directory")
        except ConfigError as error:
            wrong.append(str(error))
    return ([] if wrong else names), wrong


def _section_problems(name: str, settings: object, annotations: Mapping[str, Any]) -> list[str]:
    if not isinstance(settings, dict):
        expected = ", ".join(f"{name}.{key}" for key in annotations)
        return [f"{name}={spelling.spell(settings)}: is a section, not a value; set one of: {expected}"]
    wrong = [
        f"{name}.{key}: {spelling.no_such('setting', key, annotations)}" for key in settings if key not in annotations
    ]
    wrong += [f"{name}.{key} is missing" for key in annotations if key not in settings]
    return wrong + _mismatches(f"{name}.", settings, annotations)


def _group_problems(group: str, settings: object, packages: Sequence[str]) -> list[str]:
    """Return what is wrong with the members of a group."""
    wrong = []
    members = settings if group in component.ADDITIVE and isinstance(settings, dict) else {"": settings}
    for label, member in members.items():
        key = f"{group}.{label}" if label else group
        if isinstance(member, dict):
            wrong += component.problems(group, key, member, packages)
        elif member is None:
            wrong.append(f"{key} is empty: its file needs name: and every parameter")
        else:
            options = component.names(group, packages)
            expected = f"expected a member of the group{spelling.nearest(str(member), options)}"
            wrong.append(f"{key}={spelling.spell(member)}: {expected}")
    return wrong


def _mismatches(prefix: str, settings: Mapping[str, Any], annotations: Mapping[str, Any]) -> list[str]:
    """Return a message for each setting whose value does not match its annotation."""
    return [
        f"{prefix}{key}={spelling.spell(settings[key])}: {problem}"
        for key, annotation in annotations.items()
        if key in settings and (problem := schema.problem(settings[key], annotation))
    ]


def contradictions(tree: Tree) -> list[str]:
    """Return a message for each combination of settings that are valid alone, but not together."""
    loop, split = tree["loop"], tree["split"]
    wrong = []
    if all(loop[key] is None for key in ("epochs", "max_steps", "max_time")):
        wrong.append("loop.epochs=null needs another budget: loop.max_steps or loop.max_time")
    if loop["batch_size"] != "full" and loop["micro_batches"] > loop["batch_size"]:
        wrong.append(
            f"loop.micro_batches={loop['micro_batches']} exceeds loop.batch_size={loop['batch_size']}:"
            " each micro-batch needs at least one row"
        )
    if split["val_fraction"] + split["test_fraction"] >= 1:
        wrong.append(
            f"split.val_fraction={split['val_fraction']} and split.test_fraction={split['test_fraction']} leave nothing to train on"
        )
    if loop["max_time"] is not None and float(loop["max_time"][:-1]) == 0:
        wrong.append(f"loop.max_time={loop['max_time']} leaves no time to train")
    drawn = tree["init"]["name"]
    if tree["model"].get("weights", "none") != "none" and drawn not in ("none", "run"):
        wrong.append(
            f"init={drawn} draws new weights in place of model.weights={spelling.spell(tree['model']['weights'])}: leave out one of them"
        )
    timeout = tree["distributed"]["timeout"]
    if float(timeout[:-1]) * UNITS[timeout[-1]] < SHORTEST_TIMEOUT:
        wrong.append(f"distributed.timeout={timeout} must be at least {SHORTEST_TIMEOUT:g}s")
    if tree["distributed"].get("shard"):
        wrong.append(
            "distributed.shard=true is planned, and not built: every process holds all weights; to divide the optimizer's"
            " state, which is the larger part, use distributed.split_state=true"
        )
    if isinstance(tree["processes"], int):
        wrong += obstacles(tree, tree["processes"])
    if tree["precision"] == "fp16" and tree["device"] in ("cpu", "mps"):
        wrong.append(f"precision=fp16 needs a CUDA device; on {tree['device']} use precision=bf16")
    return wrong


def obstacles(tree: Tree, size: int) -> list[str]:
    """Return a message for each setting with which so many processes cannot train; empty if one process does."""
    if size == 1:
        return []
    batch, wrong = tree["loop"]["batch_size"], list[str]()
    if batch != "full" and batch < size:
        wrong.append(f"loop.batch_size={batch} is less than processes={size}: a process would have no row")
    if tree["threads"] == "adapt":
        wrong.append(f"threads=adapt: with processes={size}, every process needs the same number of threads: give one")
    if tree["device"] == "mps":
        wrong.append(f"device=mps: only one process can use it; use processes=1 instead of processes={size}")
    if any(member["name"] == "int8" for member in tree["compress"].values()):
        wrong.append(
            "compress=int8 follows the ranges of the activations from one part of a batch to the next, which"
            f" processes={size} cannot share: use processes=1"
        )
    if tree["distributed"].get("split_state"):
        wrong += _undivided(tree)
    return wrong


def _undivided(tree: Tree) -> list[str]:
    """Return why the processes of a run cannot divide its optimizer's state, a line each; empty if they can."""
    wrong, optimizer = list[str](), tree["optimizer"]["name"]
    if optimizer not in BY_PARAMETER:
        wrong.append(
            f"distributed.split_state=true: optimizer={optimizer} may look at all parameters together, which no process"
            " has the state of; leave it out, or use an optimizer of trainctl's own"
        )
    if tree["precision"] == "fp16":
        wrong.append(
            "distributed.split_state=true: precision=fp16 skips a step if any gradient overflows, and a process looks at its"
            " own share only: use precision=bf16"
        )
    return wrong


def load(tree: Tree) -> Config:
    """Check a plain tree and return it as a Config, with the paths of data sets and runs made absolute.

    A run's configuration is read again from other directories, where a relative path would name another file.
    Trees are checked only here.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    if wrong := problems(tree):
        raise ConfigError(*wrong)
    tree = tree | {group: absolute(group, tree[group], tree["components"]) for group in WITH_PATHS}
    if wrong := [f"{key}: {_not_utf8(value)}" for key, value in leaves(tree).items() if _not_utf8(value)]:
        raise ConfigError(*wrong)
    sections = {name: cls(**tree[name]) for name, cls in SECTIONS.items()}
    own = {name: tree[name] for name in knobs()}
    return Config(**own, **sections, parts={group: tree[group] for group in component.GROUPS}, tree=tree)


def _not_utf8(value: object) -> str:
    """Return what is wrong with a value that is not valid UTF-8, which YAML cannot hold; empty for all others."""
    text = "".join(map(str, value)) if isinstance(value, list) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return f"{shown}: the name is not valid UTF-8, so it cannot be saved with the run: rename the file or directory"
    return ""


def absolute(group: str, settings: Tree, packages: Sequence[str]) -> Tree:
    """Return the settings of a group with its paths made absolute, ``~`` included."""
    if group in component.ADDITIVE:
        return {label: _absolute_paths(group, member, packages) for label, member in settings.items()}
    return _absolute_paths(group, settings, packages)


def _absolute_paths(group: str, settings: Tree, packages: Sequence[str]) -> Tree:
    path = component.source(group, settings["name"], packages)
    assert path, f"{group} was not checked"
    annotations = component.signature(path).parameters

    def made(key: str, value: Any) -> Any:
        if isinstance(value, list) and schema.is_paths(annotations.get(key)):
            return [_absolute(f"{group}.{key}={item}", item) for item in value]
        if (
            isinstance(value, str)
            and schema.is_path(annotations.get(key))
            and not schema.is_word(value, annotations[key])
        ):
            return _absolute(f"{group}.{key}={value}", value)
        return value

    return {key: made(key, value) for key, value in settings.items()}


def _absolute(where: str, value: str) -> str:
    """Return an absolute path.

    Raises:
        ConfigError: If it is a URL or standard input.
    """
    if value == "-" and not os.path.lexists(value):
        raise ConfigError(f"{where}: standard input can be read only once, but a run reads its data again; use a file")
    if (match := URL.match(value)) and not os.path.lexists(value):
        if match[1] != "file":
            raise ConfigError(f"{where}: a URL; download the file, and give its path")
        value = unquote(value[match.end() :])
    with reading(where, ConfigError, "not a path"):  # of no user, or in a directory that has been removed
        if os.path.lexists(value):
            return os.path.abspath(value)  # noqa: PTH100 - a file may be called ~x
        path = Path(value).expanduser() if value.startswith("~") else value  # Path removes the dot of ./~x
        return os.path.abspath(path)  # noqa: PTH100 - removes `..`, does not follow links


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
