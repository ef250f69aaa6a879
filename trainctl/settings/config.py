"""Typed dataclasses for the run's own knobs; `conf/train.yaml` holds their defaults.

A configuration is first a plain tree (nested dicts, as YAML reads), then checked as a whole, then a
:class:`Config`. The annotations are the schema, see :mod:`trainctl.settings.schema`.
"""

import os
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from trainctl.errors import ConfigError
from trainctl.settings import component, schema, spelling

Tree = dict[str, Any]
Positive = Annotated[int, "[1, inf)"]

# What may change when a run is resumed; the rest would make it another run.
MAY_CHANGE = (
    "loop.epochs", "loop.max_steps", "loop.max_time", "loop.stop_at_step", "loop.eval_batch_size", "loop.on_nonfinite",
    "checkpoint.", "early_stopping.", "output.plots", "device", "threads", "dataset.root", "dataset.download",
)  # fmt: skip

# Settings that have another name now, and which: saved configurations hold the old one.
RENAMED = {"loop.capture": "loop.record"}

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Split:
    """How rows are dealt to training, validation and test."""

    val_fraction: Annotated[float, "(0, 1)"]
    test_fraction: Annotated[float, "(0, 1)"]
    seed: Annotated[int, "[0, 4294967295]"]


@dataclass(frozen=True)
class Loop:
    """How long and in which portions to train."""

    epochs: Positive | None
    max_steps: Positive | None
    max_time: Annotated[str, r"re:\d+(\.\d+)?[smhd]", "a time such as 90s, 10m, 2h or 1d"] | None
    batch_size: Positive | Literal["full"]
    eval_batch_size: Positive
    micro_batches: Positive
    clip_norm: Annotated[float, "(0, inf)"] | None
    clip_value: Annotated[float, "(0, inf)"] | None
    eval_every_steps: Positive | None
    stop_at_step: Positive | None
    on_nonfinite: Literal["stop", "skip", "rewind"]
    record: Literal["auto", "always", "never"]

    @property
    def max_seconds(self) -> float | None:
        """The wall clock's budget [s], or None."""
        return None if self.max_time is None else float(self.max_time[:-1]) * UNITS[self.max_time[-1]]


@dataclass(frozen=True)
class Checkpoint:
    """What is kept on disk, and how often."""

    every_seconds: Annotated[float, "[0, inf)"]
    keep: Annotated[int, "[2, inf)"]


@dataclass(frozen=True)
class Output:
    """Where a run's directory goes, and what it holds beside the records."""

    root: Annotated[str, "path"]
    plots: bool


@dataclass(frozen=True)
class Config:
    """The whole configuration of one run, checked."""

    seed: Annotated[int, "[0, 4294967295]"]
    device: Annotated[str, r"re:auto|cpu|mps|cuda(:\d+)?", "auto, cpu, mps, cuda or cuda:1"]
    precision: Literal["fp32", "bf16", "fp16"]
    threads: Annotated[int, "[1, 1024]"] | Literal["adapt"] | None  # far more of them crash OpenMP
    monitor: Annotated[str, "re:val/[a-z0-9_]+", "a metric as val/loss"]
    decay_norm_and_bias: bool
    components: list[Annotated[str, r"re:[A-Za-z_]\w*", "the name of a package"]]
    split: Split
    loop: Loop
    checkpoint: Checkpoint
    output: Output
    parts: Mapping[str, Tree]
    tree: Tree

    def members(self, group: str) -> list[Tree]:
        """Return the chosen members of a group: one, or for a group that adds up, any number."""
        chosen = self.parts[group]
        return list(chosen.values()) if group in component.ADDITIVE else [chosen]

    def monitored(self, group: str) -> str:
        """Return the metric that a group's member watches: its own, or that of the run."""
        return str(self.parts[group].get("monitor", self.monitor))


SECTIONS: dict[str, type] = {"split": Split, "loop": Loop, "checkpoint": Checkpoint, "output": Output}


def knobs(cls: type = Config) -> dict[str, Any]:
    """Return the annotations of a dataclass of knobs; sections and groups of components left out."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls) if field.name not in {*SECTIONS, "parts", "tree"}}


def problems(tree: Tree) -> list[str]:
    """Return everything that is wrong with a configuration, one message each; empty if it is fine."""
    expected = {*knobs(), *SECTIONS, *component.GROUPS}
    found = [f"{key}: no such setting{spelling.nearest(key, sorted(expected))}" for key in tree if key not in expected]
    found += [f"{key} is missing" for key in sorted(expected - set(tree))]
    found += _misfits("", tree, knobs())
    packages = tree.get("components")
    packages = (
        packages
        if isinstance(packages, list) and all(isinstance(word, str) and word.isidentifier() for word in packages)
        else []
    )
    found += [
        f"components=[{word}]: no such package, neither installed nor in this directory"
        for word in packages
        if not component.folders(word)
    ]
    for name, cls in SECTIONS.items():
        found += _section(name, tree.get(name), knobs(cls))
    for group in component.GROUPS:
        chosen = tree.get(group)
        members = chosen if group in component.ADDITIVE and isinstance(chosen, dict) else {None: chosen}
        for label, given in members.items():
            key = f"{group}.{label}" if label else group
            if isinstance(given, dict):
                found += component.problems(group, key, given, packages)
            elif given is None and group in tree:
                found.append(f"{key} is empty: its file needs name: and every parameter")
            elif group in tree:
                hint = spelling.nearest(str(given), component.names(group, packages))
                found.append(f"{key}={spelling.spell(given)}: expected a member of the group{hint}")
    return found or _contradictions(tree)


def _section(name: str, given: object, wanted: Mapping[str, Any]) -> list[str]:
    if not isinstance(given, dict):
        return [f"{name}={spelling.spell(given)}: expected {', '.join(f'{name}.{key}' for key in wanted)}"]
    found = [
        f"{name}.{key}: no such setting{renamed(f'{name}.{key}') or spelling.nearest(key, wanted)}"
        for key in given
        if key not in wanted
    ]
    return (
        found + [f"{name}.{key} is missing" for key in wanted if key not in given] + _misfits(f"{name}.", given, wanted)
    )


def _misfits(prefix: str, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return [
        f"{prefix}{key}={spelling.spell(given[key])}: {trouble}"
        for key, annotation in wanted.items()
        if key in given and (trouble := schema.problem(given[key], annotation))
    ]


def _contradictions(tree: Tree) -> list[str]:
    """Return settings that are fine one by one and make no sense together."""
    loop, split, found = tree["loop"], tree["split"], []
    if all(loop[key] is None for key in ("epochs", "max_steps", "max_time")):
        found.append("loop.epochs=null needs another budget: loop.max_steps or loop.max_time")
    if loop["batch_size"] != "full" and loop["micro_batches"] > loop["batch_size"]:
        found.append(
            f"loop.micro_batches={loop['micro_batches']} exceeds loop.batch_size={loop['batch_size']}: a part needs at least one sample"
        )
    if split["val_fraction"] + split["test_fraction"] >= 1:
        found.append(
            f"split.val_fraction={split['val_fraction']} and split.test_fraction={split['test_fraction']} leave nothing to train on"
        )
    if loop["max_time"] is not None and float(loop["max_time"][:-1]) == 0:
        found.append(f"loop.max_time={loop['max_time']} leaves no time to train")
    if tree["precision"] == "fp16" and tree["device"] in ("cpu", "mps"):
        found.append(f"precision=fp16 needs a CUDA device; on {tree['device']} use precision=bf16")
    return found


def load(tree: Tree) -> Config:
    """Check a plain tree and return it typed, with the paths of data sets made absolute.

    A run's configuration is read again from other directories, where a relative path would mean another file.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    if found := problems(tree):
        raise ConfigError("\n".join(found))
    tree = tree | {"dataset": absolute("dataset", tree["dataset"], tree["components"])}
    sections = {name: cls(**tree[name]) for name, cls in SECTIONS.items()}
    own = {name: tree[name] for name in knobs()}
    return Config(**own, **sections, parts={group: tree[group] for group in component.GROUPS}, tree=tree)


def absolute(group: str, given: Tree, packages: Sequence[str]) -> Tree:
    """Return a member's settings with its paths made absolute, ``~`` included."""
    path = component.source(group, given["name"], packages)
    assert path, f"{group} was not checked"
    wanted = component.signature(path).parameters
    return {
        key: os.path.abspath(Path(value).expanduser())  # noqa: PTH100 - removes `..`, follows no link
        if isinstance(value, str) and schema.is_path(wanted.get(key))
        else value
        for key, value in given.items()
    }


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


def renamed(key: str) -> str:
    """Return the end of an error message about a key: what it is called now; empty if it never had another name."""
    return f"; it is called {RENAMED[key]} now" if key in RENAMED else ""


def with_new_names(tree: Tree) -> Tree:
    """Return a saved configuration with the present names of its settings.

    >>> with_new_names({"loop": {"epochs": 3, "capture": "never"}})
    {'loop': {'epochs': 3, 'record': 'never'}}
    """
    tree = dict(tree)
    for old, new in RENAMED.items():
        section, _, leaf = old.partition(".")
        if isinstance(settings := tree.get(section), Mapping) and leaf in settings:
            rest = {key: value for key, value in settings.items() if key != leaf}
            tree[section] = rest | {new.partition(".")[2]: settings[leaf]}
    return tree


def among(key: str, keys: Sequence[str]) -> bool:
    """Say whether a key is one of some, of which ``early_stopping.`` stands for all below it.

    >>> among("loop.epochs", ["loop."]), among("loop.epochs", ["loop.epoch"])
    (True, False)
    """
    return any(key == one or (one.endswith(".") and key.startswith(one)) for one in keys)


def slug(text: str, length: int = 60) -> str:
    """Turn text into a part of a file name: letters, digits, ``=``, ``,``, ``.``, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9=,._]+", "-", text).strip("-.")[:length].rstrip("-.") or "run"
