"""Find the file of a component, and check its configuration. This is the whole plug-in mechanism.

A component is the function ``trainctl.components.<group>.<name>.<name>``, or ``<package>.<group>.<name>.<name>`` for
each package of ``components=[...]``. Its parameters, except those that :mod:`trainctl.run.assemble` supplies, are the
keys of ``conf/<group>/<name>.yaml``; their annotations are the schema (see :mod:`trainctl.settings.schema`). Signatures
and docstrings are read from the source text, so that a check imports neither torch nor the component.
"""

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import is_directory, is_file
from trainctl.settings import project_root, schema
from trainctl.settings.signature import Signature, read_signature
from trainctl.settings.spelling import nearest, no_such, spell

# The arguments that assemble passes to the members of each group, in addition to the parameters in their YAML.
SUPPLIED: dict[str, frozenset[str]] = {
    "dataset": frozenset({"schema", "unlabeled", "room"}),
    "clean": frozenset(),
    "scale": frozenset({"values", "summary"}),
    "augment": frozenset({"input_shape", "dtype", "deviation", "draws", "pixel_limits", "task"}),
    "model": frozenset({"input_shape", "outputs", "vocabulary_size", "task", "build"}),
    "init": frozenset({"model", "examples", "start"}),
    "loss": frozenset({"outputs", "class_counts"}),
    "optimizer": frozenset({"params"}),
    "schedule": frozenset({"total_steps", "steps_per_epoch", "maximize"}),
    "regularizer": frozenset({"params"}),
    "compress": frozenset(),
    "average": frozenset({"model", "optimizer", "total_steps", "steps_per_epoch"}),
    "teacher": frozenset({"model", "panel", "task", "total_steps"}),
    "freeze": frozenset({"layers", "steps_per_epoch"}),
    "early_stopping": frozenset({"maximize"}),
    "metric": frozenset({"class_names"}),
    "logger": frozenset({"directory", "folder"}),
}
# The package of our own components; its groups are the directories in it.
BUILT_IN = "trainctl.components"
GROUPS = tuple(SUPPLIED)
# Groups that take several members: `augment=[crop,flip]`; the others take one.
ADDITIVE = frozenset({"augment", "regularizer", "compress", "metric", "logger"})
# The parameters of components that may change when a run is resumed; "early_stopping." stands for all of the group.
RESUMABLE = ("early_stopping.", "dataset.root", "dataset.download", "dataset.keep", "dataset.memory", "dataset.cache")


def folders(package: str) -> list[Path]:
    """Return the directories of a package, installed, at the project's root or in the current directory, without importing it.

    Returns:
        The directories, empty if there is no such package.

    Raises:
        ConfigError: If Python cannot look it up, e.g. because an installed module of this name is broken.
    """
    if package == "__main__":  # is whatever has started Python
        return []
    place = place_of(package)
    with reading(f"components=[{package}]", ConfigError, "cannot be looked up"):
        spec = importlib.util.find_spec(package) or PathFinder.find_spec(package, [str(place)] if place else [])
        found = [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []
    is_bare = spec is None or spec.origin is None  # no __init__.py: a package of that name does not hide the directory
    if place and is_bare and place / package not in found:
        found.insert(0, place / package)
    return found


def require(package: str) -> None:
    """Check that a package of ``components=[...]`` exists and has components.

    Raises:
        ConfigError: If not.
    """
    found = folders(package) if package.isidentifier() else []
    if not found:
        written = package or "''"
        raise ConfigError(f"components=[{written}]: no such package, neither installed nor in this directory")
    if not any(is_directory(folder / group) for folder in found for group in GROUPS):
        raise ConfigError(
            f"components=[{package}]: the package has no components: none of the directories {', '.join(GROUPS)}"
        )


def place_of(package: str) -> Path | None:
    """Return the one directory from which a package that is not installed is imported; None if it is in none.

    Inside a project that is its root, so that a directory below, which may come from anybody, cannot bring a package of
    the same name that is imported instead.
    """
    file = project_root.project_file()
    places = [*([file.parent] if file else []), Path.cwd()]
    return next((place for place in places if is_directory(place / package)), None)


def is_of_project(package: str, root: Path) -> bool:
    """Return whether a package is installed or lies at a project's root: what that project may name."""
    if is_directory(root / package):
        return True
    with reading(f"components=[{package}]", ConfigError, "cannot be looked up"):
        return importlib.util.find_spec(package) is not None


def source(group: str, name: str, packages: Iterable[str] = ()) -> Path | None:
    """Return the file of a component, looked up in our package and then in the user's, or None."""
    for package in (BUILT_IN, *packages):
        for folder in folders(package):
            if name.isidentifier() and is_file(path := folder / group / f"{name}.py"):
                return path
    return None


def names(group: str, packages: Iterable[str] = ()) -> list[str]:
    """Return the names of a group's components, sorted; ``base`` and what begins with ``_`` contain shared code."""
    files = [
        file
        for package in (BUILT_IN, *packages)
        for folder in folders(package)
        for file in (folder / group).glob("*.py")
    ]
    return sorted({file.stem for file in files if not file.stem.startswith("_")} - {"base"})


def signature(path: Path) -> Signature:
    """Return the signature of the component in a file, without the parameters that assemble supplies.

    Raises:
        ConfigError: If the file defines no component, or if annotations are missing or not understood, with one line
            for each such parameter.
    """
    whole, supplied = read_signature(path), SUPPLIED.get(path.parent.name, frozenset())
    if unclear := [message for name, message in whole.unclear.items() if name not in supplied]:
        raise ConfigError(*unclear)
    return replace(whole, parameters={key: kind for key, kind in whole.parameters.items() if key not in supplied})


def problems(group: str, key: str, settings: Mapping[str, Any], packages: Iterable[str] = ()) -> list[str]:
    """Return what is wrong with a component's settings, one message each; empty if nothing is.

    Args:
        group: The component's group.
        key: The key of the settings in the configuration: ``optimizer``, or ``augment.flip``.
        settings: ``name`` and the parameters.
        packages: The user's packages, as in ``components=[...]``.
    """
    if "name" not in settings:
        if (member := key.rpartition(".")[2]) in names(group, packages):
            first = next(iter(settings), "name")
            return [f"{key}.{first} belongs to {group}={member}, which is not selected; add {group}=[{member}]"]
        return [f"{key}.name is missing{nearest('', names(group, packages))}"]
    name = settings["name"]
    if not isinstance(name, str) or (path := source(group, name, packages)) is None:
        return [f"{key}.name={spell(name)}: {no_such(group, spell(name), names(group, packages))}"]
    try:
        parameters = signature(path).parameters
    except ConfigError as error:
        return list(error.lines)
    wrong = [
        f"{key}.{word}: {group} {name} has no such parameter{nearest(word, parameters)}"
        for word in settings
        if word != "name" and word not in parameters
    ]
    for word, annotation in parameters.items():
        if word not in settings:
            wrong.append(f"{key}.{word} is missing: {group} {name} needs {schema.phrase(annotation)}")
        elif problem := schema.problem(settings[word], annotation):
            wrong.append(f"{key}.{word}={spell(settings[word])}: {problem}")
    return wrong
