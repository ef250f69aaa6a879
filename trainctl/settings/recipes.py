"""Combine a recipe with members that were typed: the member that was typed wins, with its own settings."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trainctl.errors import ConfigError
from trainctl.fileformat.tree import LARGEST
from trainctl.fileformat.utf8 import read_text
from trainctl.settings import component, config
from trainctl.settings.config import Tree
from trainctl.settings.spelling import spell

HEADER = "@package _global_"
# Settings that name a file next to a recipe: its data, and its pretrained weights.
FILES = (("dataset", "path"), ("model", "weights"))


def headless(files: Iterable[Path]) -> list[str]:
    """Return a message for each recipe without the line that lets it set the settings of the run."""
    wrong = [path for path in files if HEADER not in read_text(path, ConfigError, largest=LARGEST).partition("\n\n")[0]]
    return [f'{path}: a recipe needs "# {HEADER}" as its first line' for path in wrong]


def without_what_is_for_others(
    every: Tree, recipe: Tree, plain: Tree, groups: Iterable[str], name: str
) -> tuple[Tree, list[str]]:
    """Leave out a recipe's settings of members that are not selected in the end.

    A learning rate for SGD is wrong for Adam, and silently so.

    Args:
        every: What the recipe and the typed members give; it is changed.
        recipe: What the recipe alone gives.
        plain: What the typed members alone give.
        groups: The groups of which a member was typed.
        name: The word of the recipe, for the notes.

    Returns:
        The tree, and a note for each group of which settings are left out.
    """
    notes = []
    for group in groups:
        before, after = recipe[group], plain[group]
        if group in component.ADDITIVE:
            kept = {label: every[group].get(label, after[label]) for label in after}
        else:
            kept = every[group] if before.get("name") == after.get("name") else after
        if kept == every[group]:
            continue
        left_out = ", ".join(_left_out(group, every[group], kept))
        every[group] = kept
        member = ", ".join(after) if group in component.ADDITIVE else after.get("name")
        notes.append(f"{name}: {left_out}: meant for another {group}, left out with {group}={member}")
    return every, notes


def _left_out(group: str, settings: Any, kept: Any) -> Iterator[str]:
    before, after = config.leaves(settings, f"{group}."), config.leaves(kept, f"{group}.")
    for key, value in before.items():
        if key not in after or after[key] != value:
            yield f"{key}={spell(value)}"
