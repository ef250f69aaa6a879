"""Check that runs fit together before they become one: the first difference is named."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.components.loss.base import Task
from trainctl.data.rows import Fitted
from trainctl.errors import CheckpointError
from trainctl.fileformat import fingerprints
from trainctl.finished.open import ELSEWHERE
from trainctl.run import factory
from trainctl.run.model import build_model
from trainctl.run.parent import Parent
from trainctl.run.units import WIDTHS
from trainctl.settings.config import Config, Tree
from trainctl.settings.existing import change, check, load
from trainctl.settings.spelling import spell
from trainctl.train.parentage import without_runs
from trainctl.wording import shortened

# Settings of models that neither change the weights' shapes nor what the model computes after training.
ONLY_IN_TRAINING = ("dropout", "hidden_dropout")
CPU = torch.device("cpu")
LONGEST = 80  # characters of a value in a message
# How rows of files are read that changes no row: where they are kept.
NOT_OF_A_ROW = ("keep",)
# The fields of a schema that must agree, in the order in which they are compared, and what they are called.
SCHEMA = {
    "task": "task", "class_names": "class", "target_names": "target", "outputs": "number of outputs",
    "input_shape": "shape of a row", "input_names": "column", "columns": "column", "vocabulary": "token",
    "encoding": "reading of files", "input_centre": "centre of column", "target_centre": "centre of target",
}  # fmt: skip
PLURALS = {"class": "classes", "target": "targets", "column": "columns", "token": "tokens in the vocabulary"}


def require_same_data(parts: Sequence[Parent]) -> None:
    """Check that runs have the same task, classes in order, columns and vocabulary.

    Raises:
        CheckpointError: If two of them do not; the message names the first difference.
    """
    _require(parts, _schema_values)


def require_same_model(parts: Sequence[Parent], *, widths: bool = True) -> None:
    """Check that runs have the same model, and cleaned and scaled their rows in the same way.

    Args:
        parts: The runs.
        widths: Whether widths must agree, too.

    Raises:
        CheckpointError: If two of them do not; the message names the first difference.
    """
    _require(parts, lambda part: _model_values(part, widths=widths))
    _require(parts, _fitted_values)


def require_same_task(parts: Sequence[Parent]) -> Task:
    """Check that all models are autoencoders or none is; return their task.

    Raises:
        CheckpointError: If they are not.
    """
    tasks = [build_part(part)[1] for part in parts]
    for part, task in zip(parts, tasks, strict=True):
        if task != tasks[0]:
            raise CheckpointError(f"{part.name} does not match {parts[0].name}: {_difference('task', tasks[0], task)}")
    return tasks[0]


def require_same_cleaning(parts: Sequence[Parent]) -> None:
    """Check that runs cleaned their rows in the same way.

    Raises:
        CheckpointError: If two of them did not.
    """
    _require(parts, lambda part: list(_fitted_values(part))[:1])


def notes_on_rows(parts: Sequence[Parent]) -> list[str]:
    """Return a note if the validation rows of the first run may be training rows of another one."""
    first = parts[0]
    notes = []
    for part in parts[1:]:
        other_data = fingerprints.differ([part.schema.fingerprint, first.schema.fingerprint])
        if other_data or vars(part.config.split) != vars(first.config.split):
            what = "other data" if other_data else "another split"
            notes.append(
                f"{part.name} was trained with {what}: the validation rows of {first.name}, on which all are compared,"
                " may be among its training rows"
            )
    return notes


def configuration(
    parts: Sequence[Parent], root: str, overrides: Sequence[str] = (), changes: Tree | None = None
) -> Config:
    """Return the configuration of a run that is made of parts: that of the first, which no longer names other runs.

    Args:
        parts: The runs.
        root: Directory below which the new run gets its own.
        overrides: Settings of the machine that the user changes, such as ``device=cpu``.
        changes: Groups that are not those of the first, such as ``model``.

    Raises:
        ConfigError: If this is not a valid configuration.
    """
    tree = without_runs(parts[0].config.tree)
    tree["loop"] = tree["loop"] | {"stop_at_step": None}
    tree["output"] = tree["output"] | {"root": root}
    changed = change(tree | (changes or {}), overrides, ELSEWHERE)
    return check(changed) if overrides else load(changed)


def converting(config: Config) -> dict[str, Tree]:
    """Return the members of ``compress`` that change with which layers a model computes, by their labels."""
    members = config.parts["compress"].items()
    return {
        label: settings for label, settings in members if factory.build("compress", settings, config.components).convert
    }


def build_part(parent: Parent) -> tuple[nn.Module, Task]:
    """Build the model of a part without its weights, on the CPU; return it and its task."""
    return build_model(parent.config, parent.schema, CPU)


def same_tensors(first: Any, second: Any) -> bool:
    """Return whether two fitted scalings or cleanings are equal to the last bit; either may be None."""
    if first is None or second is None:
        return first is second
    return all(_equal(getattr(first, one.name), getattr(second, one.name)) for one in fields(first))


def _equal(first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return first.shape == second.shape and torch.equal(first, second)


def _require(parts: Sequence[Parent], values: Any) -> None:
    """Compare the named values of each part with those of the first one."""
    first = list(values(parts[0]))
    for part in parts[1:]:
        theirs = dict(values(part))
        for name, ours in first:
            if name not in theirs or not _same(ours, theirs[name]):
                raise CheckpointError(
                    f"{part.name} does not match {parts[0].name}: {_difference(name, ours, theirs.get(name))}"
                )
        if more := next((name for name in theirs if name not in dict(first)), None):
            raise CheckpointError(
                f"{part.name} does not match {parts[0].name}: {_difference(more, None, theirs[more])}"
            )


def _schema_values(part: Parent) -> Iterator[tuple[str, Any]]:
    for key, word in SCHEMA.items():
        value = getattr(part.schema, key)
        if key == "columns":
            yield "how its columns are encoded", value
        elif key == "encoding":
            settings = asdict(value).items() if value else ()
            yield from ((f"{word}: {name}", one) for name, one in settings if name not in NOT_OF_A_ROW)
        else:
            yield word, value


def _model_values(part: Parent, *, widths: bool) -> Iterator[tuple[str, Any]]:
    for key, value in part.config.parts["model"].items():
        if key in ONLY_IN_TRAINING:
            continue
        if widths or key not in WIDTHS:
            yield f"model.{key}", value
        elif isinstance(value, list):
            yield f"number of entries of model.{key}", len(value)


def _fitted_values(part: Parent) -> Iterator[tuple[str, Any]]:
    settings = part.config.parts
    yield "clean (fitted to its training rows)", _Fitted(part.fitted, "cleaner", settings["clean"])
    yield "scale (fitted to its training rows)", _Fitted(part.fitted, "input_scale", settings["scale"])
    yield "scale of the target (fitted to its training rows)", _Fitted(part.fitted, "target_scale", settings["scale"])


class _Fitted:
    """A fitted part of the data's preparation; equal if its tensors are."""

    def __init__(self, fitted: Fitted, key: str, settings: Tree) -> None:
        self.tensors, self.settings = getattr(fitted, key), settings

    def __str__(self) -> str:
        others = " ".join(f"{key}={spell(value)}" for key, value in self.settings.items() if key != "name")
        return f"{self.settings['name']} {others}".rstrip()


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, _Fitted) and isinstance(theirs, _Fitted):
        return same_tensors(ours.tensors, theirs.tensors)
    return bool(ours == theirs)


def _difference(name: str, ours: Any, theirs: Any) -> str:
    """Describe a difference; of two lists, the first entry that differs."""
    if isinstance(ours, tuple) and isinstance(theirs, tuple) and name != SCHEMA["input_shape"]:
        if sorted(map(str, ours)) == sorted(map(str, theirs)) and len(ours) == len(theirs):
            index = next(index for index, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other)
            return f"{name} {index} is {_shown(theirs[index])}, not {_shown(ours[index])}: the same in another order"
        if len(ours) != len(theirs):
            return f"number of {PLURALS.get(name, f'entries ({name})')}: {len(theirs)}, not {len(ours)}"
        index = next(index for index, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other)
        return f"{name} {index} is {_shown(theirs[index])}, not {_shown(ours[index])}"
    if isinstance(ours, _Fitted) and isinstance(theirs, _Fitted) and str(ours) == str(theirs):
        return f"{name}: other numbers, because other rows were used"
    return f"{name} is {_shown(theirs)}, not {_shown(ours)}"


def _shown(value: Any) -> str:
    text = spell(list(value)) if isinstance(value, tuple) else spell(value) if isinstance(value, list) else str(value)
    return shortened(text, LONGEST)
