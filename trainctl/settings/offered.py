"""The groups, members, settings and values that a shell may offer at TAB. Imports no Hydra, no torch.

Only names of files are read for groups and members; the rest is imported where a setting is completed.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from trainctl.errors import ConfigError

if TYPE_CHECKING:
    from trainctl.settings.members import Members

PACKAGE = Path(__file__).parents[1]


def groups() -> list[str]:
    """Return the names of the groups, recipes included."""
    folders = (path.name for path in _home("conf").iterdir() if path.is_dir())
    return [*sorted(name for name in folders if name.isidentifier() and not name.startswith("_")), "recipe"]


def members(group: str) -> list[str]:
    """Return the names of a group's members, ours and those of the user in this directory."""
    folders = [_home("conf") / group, Path("conf") / group]
    folders += [_home("recipes"), Path("recipes")] if group == "recipe" else []
    found: list[str] = []
    for folder in folders:
        with suppress(OSError, ValueError):  # ValueError: a NUL character
            found += [path.stem for path in folder.iterdir() if path.suffix == ".yaml"]
    return found


def root() -> str:
    """Return the directory for runs."""
    if os.path.lexists("trainctl.yaml") or os.path.lexists("pyproject.toml"):
        from trainctl.settings import project_file

        try:
            project = project_file.current()
        except ConfigError:
            project = None
        if project and project.output_root:
            return project.output_root
    return "runs"


def keys(word: str, before: Sequence[str]) -> Iterator[str]:
    """Yield the keys of groups and settings, with an equals sign."""
    yield from (f"{group}=" for group in groups())
    yield from (f"{key}=" for key in _settings(before))


def explained() -> Iterator[str]:
    """Yield what `trainctl settings` explains: sections, groups and keys."""
    from trainctl.settings import config

    yield from (*config.SECTIONS, *groups()[:-1], "sweep")
    yield from _settings(())


def values(key: str, before: Sequence[str]) -> Iterator[str]:
    """Yield words for the members of a group, or for the values that a setting may have."""
    if key in groups():
        yield from (f"{key}={name}" for name in members(key))
        return
    annotation = _settings(before).get(key)
    for value in _words(annotation):
        if value is None and _is_path(annotation):
            continue  # the shell completes a path if nothing is offered
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        yield f"{key}={text}"
    if key == "device":
        yield from (f"{key}={name}" for name in ("auto", "cpu", "cuda", "mps"))


def is_path(key: str, before: Sequence[str]) -> bool:
    """Return whether the value of a setting may be a path; also if nothing is known of the setting."""
    if key in groups():
        return False
    annotation = _settings(before).get(key)
    return annotation is None or _is_path(annotation)


def _is_path(annotation: Any) -> bool:
    """Return whether an annotation allows a path.

    >>> _is_path(Annotated[str, "path"] | None), _is_path(list[Annotated[str, "path"]]), _is_path(str | None)
    (True, True, False)
    """
    if get_origin(annotation) is Annotated and "path" in annotation.__metadata__:
        return True
    return any(_is_path(option) for option in get_args(annotation))


def _home(name: str) -> Path:
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def _words(annotation: Any) -> Iterator[Any]:
    """Yield the single values that an annotation allows.

    >>> list(_words(Literal["a", "b"] | bool | float))
    ['a', 'b', True, False]
    """
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif annotation is bool:
        yield from (True, False)
    elif annotation is type(None):
        yield None
    else:
        for option in get_args(annotation):
            yield from _words(option)


def _settings(before: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the run, and of the members that are selected, with their annotations."""
    from trainctl.settings import component, config

    found = dict(config.knobs())
    for section, cls in config.SECTIONS.items():
        found |= {f"{section}.{key}": annotation for key, annotation in config.knobs(cls).items()}
    files = _files()
    for group, name in _selected(before):
        prefix = f"{group}.{name}" if group in component.ADDITIVE else group
        if path := files.get(group, {}).get(name):
            found |= {f"{prefix}.{key}": annotation for key, annotation in _parameters(group, path).items()}
    return found


def _files() -> "Members":
    from trainctl.settings.members import options, overlays

    try:
        return options(overlays())
    except (ConfigError, OSError):
        return options([])


def _selected(before: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each selected member with its group, by default that of the default run."""
    from trainctl.settings import component
    from trainctl.settings.members import usual

    selected: dict[str, Sequence[str]] = dict(usual())
    for word in before:
        group, equals, names = word.partition("=")
        if equals:
            selected[group] = names.strip("[]").split(",")
    for group in component.GROUPS:
        for name in selected.get(group, ()):
            yield group, name


def _parameters(group: str, path: Path) -> Mapping[str, Any]:
    """Return a member's settings with their annotations, or with None if the component is not one of ours."""
    from trainctl.fileformat.tree import read_tree
    from trainctl.settings import component

    try:
        tree = read_tree(path)
        settings: dict[str, Any] = (
            {str(key): None for key in tree if key not in ("name", "defaults")} if isinstance(tree, dict) else {}
        )
        code = component.source(group, str(tree.get("name")) if isinstance(tree, dict) else "")
        return settings | dict(component.signature(code).parameters if code else {})
    except ConfigError:
        return {}
