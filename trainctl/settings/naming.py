"""Name a run after its data, its model and what was changed, so that a list of runs tells them apart. Imports no torch."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from trainctl.fileformat.place import is_file
from trainctl.fileformat.tree import read_tree
from trainctl.settings import component, project_file, written
from trainctl.settings.config import Config, slug
from trainctl.settings.members import home, usual
from trainctl.settings.spelling import spell

LONGEST = 48  # characters
NAMED = ("dataset", "model", "optimizer")  # the members of these groups are in every name
# What does not tell runs apart: where they ran, where they were written, and what every run of a project has.
PLACES = (
    "output", "components", "device", "threads", "processes", "distributed", "checkpoint", "init", "teacher",
)  # fmt: skip
WITHOUT_FILE = ("", "-", ".")


def label(config: Config, words: Sequence[str] = ()) -> str:
    """Return the middle part of a run directory's name.

    Args:
        config: The run's configuration.
        words: The words that composed it; those that change a setting are in the name, the last ones first, as many as
            there is room for.
    """
    if config.output.name:
        return config.output.name
    text = "-".join([data(config.parts["dataset"]), *(str(config.parts[group]["name"]) for group in NAMED[1:])])
    room, kept = LONGEST - len(text), []
    last = {written.key_of(word): word for word in words}.values()  # of a key that was set twice
    for part in reversed(changes([word for word in last if not _repeats_a_default(word, words)])):
        if (room := room - len(part) - 1) < 0:
            break
        kept.append(part)
    return "-".join([text, *reversed(kept)])


def _repeats_a_default(word: str, words: Sequence[str]) -> bool:
    """Return whether a word sets what the run would have without it; a recipe or the project may have something else.

    The parameters of components are compared with the defaults of the members that the words select.
    """
    key, _, value = word.partition("=")
    group, _, rest = key.partition(".")
    is_member = not rest and (group in component.GROUPS or group == "recipe")
    project = project_file.current()
    has_other_default = project is not None and any(setting.key == key for setting in project.settings)
    if is_member or has_other_default or any(other.startswith("recipe=") for other in words):
        return False
    file, node = home("conf") / "train.yaml", key
    if group in component.ADDITIVE:
        member, _, node = rest.partition(".")
        file = home("conf") / group / f"{member}.yaml"
    elif group in component.GROUPS:
        chosen = [other.partition("=")[2] for other in words if other.startswith(f"{group}=")]
        file, node = home("conf") / group / f"{[*usual().get(group, ('',)), *chosen][-1]}.yaml", rest
    if not is_file(file):
        return False  # of a package of the user
    found: Any = read_tree(file)
    for name in node.split("."):
        found = found.get(name, word) if isinstance(found, Mapping) else word
    return spell(found) == value


def data(settings: Mapping[str, Any]) -> str:
    """Return the name of a data set: that of its file or directory, if it has one.

    >>> data({"name": "csv", "path": "/data/penguins.csv"}), data({"name": "digits"})
    ('penguins', 'digits')
    """
    path = settings.get("path")
    stem = PurePath(path).name.partition(".")[0] if isinstance(path, str) else ""
    return slug(stem, 30) if stem not in WITHOUT_FILE else str(settings.get("name"))


def changes(words: Sequence[str]) -> list[str]:
    """Return what words change, each as a part of a name; without what every run of the project has.

    >>> changes(["dataset=iris", "optimizer.lr=0.1", "schedule=cosine", "output.root=x"])
    ['lr=0.1', 'cosine']
    """
    project = project_file.current()
    given = {setting.word for setting in project.settings} if project else set()
    found: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        key = written.key_of(word)
        group, _, rest = key.partition(".")
        if word in given or group in PLACES or key in NAMED or group == "dataset":
            continue
        value = value.strip("[]").replace(",", "+")  # a comma is left out by completion
        is_member = not rest and (group in component.GROUPS or group == "recipe")
        if not (is_member and value in usual().get(key, ())):
            found[key] = value if is_member else f"{key.rpartition('.')[2]}={value}"
    return [part for part in (slug(text, 24) for text in found.values()) if part]
