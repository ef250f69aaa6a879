"""Write the files of a new component, or of a new recipe, ready to run and to be edited.

    trainctl new GROUP NAME [like=MEMBER] [package=PACKAGE]
    trainctl new recipe NAME [settings]

A new component begins as a copy of a member of its group, a short one unless like= names another: the function, the
YAML with its defaults, and a test. They belong to the project of the current directory; without one, its trainctl.yaml
is written, too, so that the component is found without components=[...]. package= names the package of the components;
by default it is the one of the project, or my_components.

A new recipe contains the settings that are typed, in ./recipes/NAME.yaml.

    trainctl new schedule halving
    trainctl new model bottleneck like=mlp
    trainctl new recipe quick optimizer=sgd optimizer.lr=0.05 loop.epochs=5

Nothing is overwritten.
"""

import keyword
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainctl.command import arguments
from trainctl.errors import ConfigError
from trainctl.fileformat.tree import parse_tree, read_tree
from trainctl.fileformat.utf8 import read_text
from trainctl.report import phrases, table
from trainctl.settings import component, project, project_file, project_root, starter, trust_store, written
from trainctl.settings.config import leaves
from trainctl.settings.members import options, overlays
from trainctl.settings.spelling import nearest, no_such
from trainctl.store import directories, files
from trainctl.store.new_files import write_new
from trainctl.wording import shell_words

OPTIONS = {"like": "", "package": ""}
PACKAGE = "my_components"
HEAD = "# Defaults of this project; what is typed wins. `trainctl settings` shows which settings there are.\n"


def main(argv: Sequence[str]) -> int:
    """Write the files; return the exit code.

    Raises:
        ConfigError: If there is no such group, the name cannot be used, or a file exists already.
    """
    parsed = arguments.parse(argv, OPTIONS, most_names=2, overrides=True)
    groups = [*component.GROUPS, "recipe"]
    if not parsed.names:
        raise ConfigError(f"new: expected a group and a name{nearest('', groups)}")
    group = parsed.names[0]
    if group not in groups:
        raise ConfigError(f"{group}: {no_such('group', group, groups)}")
    if len(parsed.names) < 2:
        raise ConfigError(f"new {group}: expected a name, such as trainctl new {group} my_{group}")
    name = parsed.names[1]
    _check_name(group, name)
    if group == "recipe":
        if wrong := [key for key in OPTIONS if parsed.options[key]]:
            raise ConfigError(f"{wrong[0]}={parsed.options[wrong[0]]}: is for components, not for recipes")
        return _recipe(name, parsed.overrides)
    if parsed.overrides:
        raise ConfigError(f"{parsed.overrides[0]}: no such option{nearest(parsed.overrides[0], OPTIONS)}")
    return _component(group, name, parsed.options["like"] or starter.like(group), parsed.options["package"])


def _check_name(group: str, name: str) -> None:
    """Check that a name can be that of a file, a function and a member.

    Raises:
        ConfigError: If it cannot, or a member has it already.
    """
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name in ("base", "none", "name"):
        raise ConfigError(f"{name}: expected a name of letters, digits and _, such as my_{group}")
    if name in options(overlays())[group]:
        raise ConfigError(f"{name}: there is a {group} of this name already; see trainctl list {group} {name}")


def _recipe(name: str, words: Sequence[str]) -> int:
    config, _ = project.composed(words)
    typed = {written.key_of(word) for word in words}
    groups = [group for group in component.GROUPS if group in typed] or ["dataset", "model", "optimizer"]
    choices = {
        group: list(config.parts[group]) if group in component.ADDITIVE else config.parts[group]["name"]
        for group in groups
    }
    settings = {key: value for key, value in leaves(config.tree).items() if key in typed}
    path = Path("recipes") / f"{name}.yaml"
    for each in write_new({path: starter.new_recipe(name, choices, settings).encode()}):
        table.line(f"wrote {each}")
    table.line(f"to train with it: trainctl recipe={name}")
    return 0


@dataclass(frozen=True)
class Place:
    """Where the files of a component go.

    Args:
        root: The directory of the project.
        package: The package with its components.
        file: What the project's trainctl.yaml becomes; None if it stays as it is.
        is_named: Whether the project names the package then, so that it need not be typed.
    """

    root: Path
    package: str
    file: bytes | None
    is_named: bool


def _component(group: str, name: str, template: str, package: str) -> int:
    members = options([])[group]
    if template not in members or template == "none":
        raise ConfigError(
            f"like={template}: {no_such(group, template, [member for member in members if member != 'none'])}"
        )
    place = _place(package)
    is_new = not (place.root / place.package).exists()  # else it may be code of others, which nobody has trusted
    code = place.root / place.package / group / f"{name}.py"
    shown = str(code.relative_to(place.root))
    wanted = {
        code: starter.component_code(group, name, template),
        place.root / "conf" / group / f"{name}.yaml": starter.component_yaml(group, name, template, shown),
        place.root / "tests" / group / f"test_{name}.py": starter.component_test(group, name, place.package),
    }
    for path in write_new({path: text.encode() for path, text in wanted.items()}):
        table.line(f"wrote {phrases.pasteable(path)}")
    file = place.root / project_root.YAML
    if place.file is not None:
        files.write_bytes(file, place.file)
        table.line(f"wrote {phrases.pasteable(file)}")
        if is_new:
            _trust(file, place.package)
        else:
            table.line(f"{place.package} existed before; to allow its code, run `trainctl trust`")
    words = [f"{group}=[{name}]" if group in component.ADDITIVE else f"{group}={name}"]
    words += [] if place.is_named else [f"components=[{place.package}]"]
    table.line(f"it is a copy of {group}={template}; to train with it: {shell_words(['trainctl', *words])}")
    return 0


def _place(package: str) -> Place:
    """Find out where a component goes.

    Raises:
        ConfigError: If a package of that name cannot be one.
    """
    if package and (not package.isidentifier() or keyword.iskeyword(package)):
        raise ConfigError(f"package={package}: expected the name of a package, such as {PACKAGE}")
    found = project_file.current()
    if found is None:
        chosen = package or PACKAGE
        return Place(Path.cwd(), chosen, f"{HEAD}components: [{chosen}]\n".encode(), is_named=True)
    chosen = package or next(iter(found.packages), PACKAGE)
    if chosen in found.packages:
        return Place(found.root, chosen, None, is_named=found.is_trusted(found.packages))
    longer = None if found.packages or found.path.name != project_root.YAML else _with_package(found.path, chosen)
    return Place(found.root, chosen, longer, is_named=longer is not None)


def _with_package(path: Path, package: str) -> bytes | None:
    """Return the text of a project's file with a package; None if a line at its end would not do."""
    before, tree = read_text(path, ConfigError), read_tree(path)
    text = before.rstrip("\n") + f"\ncomponents: [{package}]\n"
    try:
        after = parse_tree(text.encode(), path)
    except ConfigError:
        return None
    return text.encode() if after == (tree or {}) | {"components": [package]} else None


def _trust(file: Path, package: str) -> None:
    """Trust a file that this command has written."""
    directories.ensure_directory(trust_store.store().parent, mode=0o700)
    files.write_bytes(trust_store.store(), trust_store.with_entry(file, [*(trust_store.accepted(file) or ()), package]))
