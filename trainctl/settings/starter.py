"""The texts of files that a user starts from: recipes, and the files of a component. Imports no Hydra, no torch."""

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainctl.errors import ConfigError
from trainctl.fileformat.source import parse_python
from trainctl.fileformat.tree import read_tree
from trainctl.fileformat.utf8 import read_text
from trainctl.settings import component
from trainctl.settings.members import home, options, usual
from trainctl.settings.recipes import FILES, HEADER

# The member of each group that a new one starts as a copy of: a short one that trains on the data of the default run. Of
# several, the first that there is.
LIKE: dict[str, tuple[str, ...]] = {
    "dataset": ("synthetic",), "clean": ("drop",), "scale": ("minmax",), "augment": ("noise",), "model": ("linear",),
    "init": ("normal",), "loss": ("focal",), "optimizer": ("sgd",), "schedule": ("step",), "regularizer": ("l2",),
    "compress": ("prune",), "average": ("ema",), "teacher": ("mean",), "freeze": ("gradual",), "early_stopping": ("patience",),
    "metric": ("matthews",), "logger": ("csv", "tensorboard"),
}  # fmt: skip
SHOWN = ("dataset", "model", "loss", "optimizer", "schedule")  # groups of which a recipe shows all parameters
OWN = ("split", "loop")  # sections of conf/train.yaml that it shows

TEST = '''\
"""{group}={name} is accepted, and trains. Add what it promises: a closed form, a limit, another implementation."""

import subprocess
import sys


def test_{name}_trains_two_steps(tmp_path):
    words = ["{selection}", "components=[{package}]", "device=cpu", "loop.max_steps=2", f"output.root={{tmp_path}}"]
    done = subprocess.run([sys.executable, "-m", "trainctl", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
'''


def like(group: str) -> str:
    """Return the member that a new one of a group starts as a copy of."""
    members = options([])[group]
    return next(name for name in LIKE[group] if name in members)


def component_code(group: str, name: str, template: str) -> str:
    """Return the source of a member of ours under another name.

    The function is renamed, and where the text calls it or names it as a member.
    """
    path = component.source(group, template)
    assert path
    text = read_text(path, ConfigError)
    function = next(
        node for node in parse_python(path).body if isinstance(node, ast.FunctionDef) and node.name == template
    )
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if number == function.lineno - 1:
            line = line.replace(f"def {template}(", f"def {name}(", 1)
        elif line.lstrip().startswith((">>> ", "... ")):
            line = re.sub(rf"\b{template}\(", f"{name}(", line)
        line = line.replace(f'"{template}"', f'"{name}"').replace(f"{group}={template}", f"{group}={name}")
        lines[number] = line.replace(f"{group}.{template}.", f"{group}.{name}.")
    return "".join(lines)


def component_yaml(group: str, name: str, template: str, code: str) -> str:
    """Return the YAML of a member of ours for the copy of it."""
    lines = read_text(options([])[group][template], ConfigError).splitlines()
    package = [re.sub(rf"\b{template}\b", name, line) for line in lines if line.startswith("# @package")]
    body = [re.sub(rf"^name: *{template}\b", f"name: {name}", line) for line in lines if not line.startswith("#")]
    head = f"# The parameters of {code}, with their defaults; a comment behind each says what it is."
    return "\n".join([*package, head, *body]) + "\n"


def component_test(group: str, name: str, package: str) -> str:
    """Return a test of a new component."""
    selection = f"{group}=[{name}]" if group in component.ADDITIVE else f"{group}={name}"
    return TEST.format(group=group, name=name, package=package, selection=selection)


def copied_recipe(path: Path, file: str) -> tuple[str, list[Path]]:
    """Return a recipe's text for a copy of it in the user's directory, and the files next to the recipe that it uses.

    Args:
        path: The recipe.
        file: The name of the copy.
    """
    text = re.sub(rf"\brecipe={re.escape(path.stem)}\b", lambda _: file, read_text(path, ConfigError))
    tree = read_tree(path)
    sections = [(tree.get(group), key) for group, key in FILES] if isinstance(tree, dict) else []
    names = [section.get(key) for section, key in sections if isinstance(section, dict)]
    return text, [path.parent / name for name in names if isinstance(name, str) and (path.parent / name).is_file()]


def default_recipe(file: str) -> str:
    """Return the settings of the default run as a recipe, with the comments of our YAML."""
    members, selected = options([]), usual()
    head = [
        f"# {HEADER}",
        f"# trainctl {file}",
        "# The settings of the default run, to be edited: choose other members in `defaults`, change values, delete what is to",
        "# keep its default. Settings that are typed win: trainctl "
        + file
        + " seed=1. In ./recipes it is recipe="
        + Path(file).stem
        + ".",
        "defaults:",
    ]
    head += [
        f"  - override /{group}: {_member(group, selected[group])}" for group in component.GROUPS if group in selected
    ]
    blocks = []
    for group in SHOWN:
        lines = read_text(members[group][selected[group][0]], ConfigError).splitlines()
        settings = [line for line in lines if line and not line.startswith(("#", "name:", "defaults:", "  - "))]
        if settings:
            blocks += [f"{group}:", *(f"  {line}" for line in settings)]
    return "\n".join([*head, *blocks, *_own()]) + "\n"


def _member(group: str, names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]" if group in component.ADDITIVE else names[0]


def _own() -> list[str]:
    """Return the lines of conf/train.yaml for the seed and some sections."""
    lines, found, section = read_text(home("conf") / "train.yaml", ConfigError).splitlines(), [], ""
    for line in lines:
        if match := re.match(r"(\w+):", line):
            section = match[1]
        if line and (section in OWN or line.startswith("seed:")):
            found.append(line)
    return found


def new_recipe(name: str, choices: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return a recipe with members and settings.

    Args:
        name: Of the recipe.
        choices: The member, or members, of each group that it selects.
        settings: The values of other settings, by their dotted keys.
    """
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        *sections, leaf = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[leaf] = value
    head = [
        f"# {HEADER}",
        f"# trainctl recipe={name}",
        "# What it shows, in a sentence.",
        "# Measured: what it reached, with which seeds.",
        "defaults:",
        *(f"  - override /{group}: {_shown(value)}" for group, value in choices.items()),
    ]
    body = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True) if tree else ""
    return "\n".join(head) + "\n" + body


def _shown(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
