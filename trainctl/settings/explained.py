"""What a setting is: its value, meaning and range, and which file or word has set it. Imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainctl.errors import ConfigError
from trainctl.fileformat.tree import read_tree
from trainctl.fileformat.utf8 import read_text
from trainctl.settings import component, config, project, schema, sweep, written
from trainctl.settings.comments import comments
from trainctl.settings.docstring import parse_docstring
from trainctl.settings.lines import line_of, lines_of
from trainctl.settings.members import home, options, overlays, usual
from trainctl.settings.spelling import no_such, spell
from trainctl.wording import did_you_mean

SWEEP = "sweep"
GROUP = "the member of the group; trainctl list {group} describes them"


@dataclass(frozen=True)
class Explained:
    """A setting.

    Args:
        key: Its dotted key.
        value: Its value, spelt.
        default: Its value in the default run, or in the YAML of its member, spelt.
        allowed: What it may be.
        meaning: What it does.
        origin: The word, or the file and line, that has set it.
    """

    key: str
    value: str
    default: str
    allowed: str
    meaning: str
    origin: str


def names() -> list[str]:
    """Return the names that stand for several keys: sections, groups, and the sweep's settings."""
    return [*config.SECTIONS, *component.GROUPS, SWEEP]


def is_setting(name: str) -> bool:
    """Return whether a name is that of a section, or of a setting that every run has."""
    return name in config.SECTIONS or name.partition(".")[0] == SWEEP or name in own_meanings()


def explain(name: str | None, typed: Sequence[str]) -> list[Explained]:
    """Return the settings that a name stands for: a key, a section, a group, or all that every run has.

    Args:
        name: The name; None for all of the run's own settings.
        typed: Words of a command line, on top of the project's defaults.

    Raises:
        ConfigError: If there is no such setting, or the words are wrong.
    """
    if name is not None and name.partition(".")[0] == SWEEP:
        return _of_sweep(name)
    checked, layers = project.composed(typed)
    origins = _Origins(checked, layers, typed)
    annotations, meanings = _annotations(checked), dict(_meanings(checked))
    if name is None:
        keys = [key for key in annotations if key.partition(".")[0] not in component.GROUPS]
    elif name in annotations:
        keys = [name]
    else:
        keys = [key for key in annotations if key.startswith(f"{name}.")]
        keys = [name, *keys] if name in component.GROUPS else keys
    if not keys:
        raise ConfigError(f"{name}: no such setting{_hint(str(name), annotations)}")
    values = config.leaves(checked.tree)
    for key in keys:
        values.setdefault(key, _at(checked.tree, key))  # a list or a mapping
    return [_explained(key, checked, values, annotations, meanings, origins) for key in keys]


def _explained(
    key: str,
    checked: config.Config,
    values: Mapping[str, Any],
    annotations: Mapping[str, Any],
    meanings: Mapping[str, str],
    origins: "_Origins",
) -> Explained:
    if key in component.GROUPS:
        allowed = "a list of members" if key in component.ADDITIVE else "a member"
        value, meaning = _selected(checked, key), GROUP.format(group=key)
    else:
        allowed, value, meaning = schema.phrase(annotations[key]), spell(values[key]), meanings.get(key, "")
    return Explained(key, value, _default(checked, key), allowed, meaning, origins.of(key))


def _hint(name: str, annotations: dict[str, Any]) -> str:
    same_leaf = sorted(key for key in annotations if key.rpartition(".")[2] == name)
    if same_leaf:
        return f"; did you mean {' or '.join(same_leaf)}?"
    return did_you_mean(name, [*annotations, *names()]) or f" (sections and groups: {', '.join(names())})"


def _at(tree: Any, key: str) -> Any:
    for name in key.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


# Annotations, meanings and defaults.


def _annotations(checked: config.Config) -> dict[str, Any]:
    """Return the type of each setting of a run, by its key, in their order."""
    found = dict(config.knobs())
    for section, cls in config.SECTIONS.items():
        found |= {f"{section}.{key}": kind for key, kind in config.knobs(cls).items()}
    for group, label, name in _members(checked):
        if path := component.source(group, name, checked.components):
            prefix = f"{group}.{label}" if label else group
            found |= {f"{prefix}.{key}": kind for key, kind in component.signature(path).parameters.items()}
    return found


def _members(checked: config.Config) -> Iterator[tuple[str, str, str]]:
    """Yield each selected member: its group, its label in a group that takes several, its name."""
    for group in component.GROUPS:
        if group in component.ADDITIVE:
            for label, settings in checked.parts[group].items():
                yield group, label, str(settings["name"])
        else:
            yield group, "", str(checked.parts[group]["name"])


def _meanings(checked: config.Config) -> Iterator[tuple[str, str]]:
    yield from own_meanings().items()
    files = options(overlays())
    for group, label, name in _members(checked):
        prefix = f"{group}.{label}" if label else group
        if file := files.get(group, {}).get(label or name):
            yield from ((f"{prefix}.{key}", text) for key, text in comments(read_text(file, ConfigError)).items())
        if path := component.source(group, name, checked.components):
            described = parse_docstring(component.signature(path).doc).arguments
            yield from ((f"{prefix}.{key}", text) for key, text in described.items())


@cache
def own_meanings() -> dict[str, str]:
    """Return what the comments in conf/train.yaml say of each setting that every run has."""
    return comments(read_text(home("conf") / "train.yaml", ConfigError))


def _default(checked: config.Config, key: str) -> str:
    """Return the value in the YAML of ours, or of the selected member, spelt."""
    group, _, rest = key.partition(".")
    if key in component.GROUPS:
        found = usual().get(key, ())
        return f"[{','.join(found)}]" if key in component.ADDITIVE else next(iter(found), "null")
    if group not in component.GROUPS:
        return spell(_at(read_tree(home("conf") / "train.yaml"), key))
    label, _, leaf = rest.rpartition(".")
    file = options(overlays()).get(group, {}).get(label or str(checked.parts[group]["name"]))
    tree = read_tree(file) if file else {}
    return spell(tree[leaf]) if isinstance(tree, dict) and leaf in tree else "-"


def _selected(checked: config.Config, group: str) -> str:
    parts = checked.parts[group]
    return f"[{','.join(parts)}]" if group in component.ADDITIVE else str(parts["name"])


def _of_sweep(name: str) -> list[Explained]:
    """Return the settings of sweeps; they are not part of a run."""
    text = read_text(home("conf") / "sweep.yaml", ConfigError)
    tree, meanings, lines = (
        read_tree(home("conf") / "sweep.yaml"),
        comments(text),
        lines_of(home("conf") / "sweep.yaml"),
    )
    kinds = config.knobs(sweep.Sweep)
    keys = [key for key in tree if name in (SWEEP, f"{SWEEP}.{key}")]
    if not keys:
        raise ConfigError(f"{name}: {no_such('setting', name, [f'{SWEEP}.{key}' for key in tree])}")
    return [
        Explained(
            f"{SWEEP}.{key}", spell(tree[key]), spell(tree[key]), schema.phrase(kinds[key]) if key in kinds else "",
            meanings.get(key, ""), f"conf/sweep.yaml, line {line_of(key, lines)}",
        )
        for key in keys
    ]  # fmt: skip


# Origins.


class _Origins:
    """Finds out which word or file has set a key.

    Args:
        checked: The configuration.
        layers: The words that compose it.
        typed: Those of them that were typed.
    """

    def __init__(self, checked: config.Config, layers: project.Layered, typed: Sequence[str]) -> None:
        self.checked, self.layers, self.typed = checked, layers, typed
        self.files = options(overlays())
        self.recipes = [
            self.files["recipe"][name]
            for word in layers.words
            if written.key_of(word) == "recipe"
            for name in word.partition("=")[2].strip("[]").split(",")
            if name in self.files["recipe"]
        ]

    def of(self, key: str) -> str:
        """Return the word, or the file and the line, that has set a key."""
        if words := [word for word in self.typed if written.key_of(word) == key]:
            return f"typed: {words[-1]}"
        for setting in reversed(self.layers.applied):
            if setting.key == key and self.layers.project:
                return f"{_short(self.layers.project.path)}, line {setting.line}"
        if key == "loop.epochs" and self.checked.loop.epochs is None:
            budgets = [word for word in self.layers.words if written.key_of(word) in written.BUDGETS]
            if budgets:
                return f"null, because another budget is set alone: {budgets[-1]}"
        for path in reversed(self.recipes):
            if found := self._in_recipe(path, key):
                return found
        if key in component.GROUPS:
            return self._bringing(key) or self._at(home("conf") / "train.yaml", "defaults")
        group, _, rest = key.partition(".")
        if group in component.GROUPS:
            label, _, leaf = rest.rpartition(".")
            file = self.files[group].get(label or str(self.checked.parts[group]["name"]))
            return self._at(file, leaf) if file else "the project's own files"
        return self._at(home("conf") / "train.yaml", key)

    def _in_recipe(self, path: Path, key: str) -> str:
        """Return the line of a recipe that sets a key, or selects a member; empty if none does."""
        tree, lines = read_tree(path), lines_of(path)
        if key in lines and key not in component.GROUPS:
            return f"{_short(path)}, line {lines[key]}"
        if isinstance(tree, dict) and key in dict(written.selected(tree)):
            return self._at(path, "defaults")
        return ""

    def _bringing(self, group: str) -> str:
        """Return the file of the data set or model that brings a member of another group; empty if none does."""
        for other in ("dataset", "model"):
            file = self.files[other].get(str(self.checked.parts[other]["name"]))
            tree = read_tree(file) if file else None
            if isinstance(tree, dict) and file and group in dict(written.selected(tree)):
                return self._at(file, "defaults")
        return ""

    def _at(self, path: Path, key: str) -> str:
        return f"{_short(path)}, line {line_of(key, lines_of(path))}"


def _short(path: Path) -> str:
    """Return the path of a file of ours from `conf` or `recipes` on, or of another one from the current directory on."""
    for directory in ("conf", "recipes"):
        if path.is_relative_to(home(directory)):
            return str(Path(directory) / path.relative_to(home(directory)))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
