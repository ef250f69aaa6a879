"""List the catalogue: the groups of components, and what each member does.

Usage: trainctl list [GROUP [NAME]] [components=[PACKAGE,...]]

  GROUP                  one group's members with their parameters and defaults
  GROUP NAME             one member: formula, parameters, source, files
  components=[PACKAGE]   packages of your own components, listed too

Members whose YAML stands in ./conf/GROUP are included; your files are named
beside them. * marks what the default run uses.

Examples:
  trainctl list
  trainctl list optimizer
  trainctl list schedule cosine
  trainctl list recipe mnist_cnn
  trainctl list model my_model components=[my_package]
"""

import importlib.util
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainctl.command import arguments
from trainctl.components.schedule.base import Reaction, as_schedule
from trainctl.errors import ConfigError
from trainctl.report import phrases as words_of
from trainctl.report import table
from trainctl.run import factory
from trainctl.settings import component, schema
from trainctl.settings import members as catalogue
from trainctl.settings.spelling import nearest

WIDTH = 100  # columns, of running text
ELSEWHERE = (
    "Regularization that stands elsewhere: dropout is a parameter of the models (model.dropout), label smoothing of"
    " the losses (loss.label_smoothing), weight decay of the optimizers (optimizer.weight_decay); gradients are"
    " clipped by loop.clip_norm."
)

EPOCHS, STEPS = 30, 40  # the default run's length, and its optimizer steps an epoch
CURVE = "learning rate over a run"
CURVES = (
    "The curves show the default run of 30 epochs, from 0 to the optimizer's own rate; that of plateau with a metric"
    " that never improves."
)

Members = Mapping[str, Path]


def main(argv: Sequence[str]) -> int:
    """Print the catalogue, a group or a member; return the exit code.

    Raises:
        ConfigError: If a group, a member, a package or an option does not exist.
    """
    packages, rest = arguments.packages(argv)
    _check_packages(packages)
    names = arguments.parse(rest, {"components": "[]"}, most_names=2).names
    groups = catalogue.options(catalogue.overlays())
    if names and names[0] not in groups:
        raise ConfigError(f"{names[0]}: no such group{nearest(names[0], groups)}")
    if len(names) == 2 and names[1] not in groups[names[0]]:
        raise ConfigError(f"{names[1]}: no such {names[0]}{nearest(names[1], groups[names[0]])}")
    if not names:
        _catalogue(groups, packages)
    elif len(names) == 1:
        _group(names[0], groups[names[0]], packages)
    elif names[0] == "recipe":
        _recipe(names[1], groups["recipe"][names[1]])
    else:
        _member(names[0], names[1], groups[names[0]], packages)
    return 0


def _check_packages(packages: Sequence[str]) -> None:
    for word in packages:
        if not word.isidentifier() or importlib.util.find_spec(word) is None:
            raise ConfigError(f"components=[{word}]: no such package")


# The catalogue and a group.


def _catalogue(groups: Mapping[str, Members], packages: Sequence[str]) -> None:
    chosen = _defaults()
    rows = [
        [group, name, "*" if name in chosen.get(group, ()) else "", _one_liner(group, name, members, packages)]
        for group, members in groups.items()
        for name in members
    ]
    table.show(["group", "member", "*", "what it does"], rows, sections=True)
    table.line("\n* is in the default run. trainctl list GROUP [NAME] tells more.", style="dim")


def _group(group: str, members: Members, packages: Sequence[str]) -> None:
    chosen = _defaults().get(group, ())
    rows = []
    for name in members:
        settings = "" if group == "recipe" else _settings_in_short(name, members)
        rows.append([name, "*" if name in chosen else "", _one_liner(group, name, members, packages), settings])
    shown = 3 if group == "recipe" else 4
    headers, rows = [group, "*", "what it does", "parameters"][:shown], [row[:shown] for row in rows]
    if group == "schedule":
        headers.insert(2, CURVE)
        for row in rows:
            row.insert(2, _curve(row[0], members))
    table.show(headers, rows)
    if group == "schedule":
        table.line(_filled("\n" + CURVES))
    others = [name for name in members if name not in ("none", *chosen)] or list(members)
    for name in others[:1]:
        table.line(f"\nChoose with {group}={name}; trainctl list {group} {name} tells more.")
    if pair := _pair(group, members):
        table.line(f"Members add up: {group}=[{','.join(pair)}]")
    if group == "regularizer":
        table.line(_filled(ELSEWHERE))


def _curve(name: str, members: Members) -> str:
    """Draw a schedule of ours over the default run's length; a user's own code is not executed here."""
    try:
        settings = _settings(name, members)
        settings |= {"monitor": "val/loss"} if "monitor" in settings else {}
        if component.problems("schedule", "schedule", settings):
            return ""
        built = factory.build("schedule", settings, total_steps=EPOCHS * STEPS, steps_per_epoch=STEPS, maximize=False)
    except ConfigError:
        return ""
    schedule, state, rates = as_schedule(built), Reaction(), []
    for number in range(EPOCHS * STEPS):
        rates.append(schedule.multiplier(number) * state.factor)
        if (number + 1) % STEPS == 0:
            state = schedule.react(state, 1.0)
    return words_of.sparkline(rates, EPOCHS, _levels(), (0.0, 1.0))


def _levels() -> str:
    blocks = "▁▂▃▄▅▆▇█"
    try:
        blocks.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "_.-:=+*#"
    return blocks


def _pair(group: str, members: Members, first: str = "") -> list[str]:
    """Return two members of a group whose members add up, as an example; none if there are no two."""
    known = [name for name in (first, "l1", "l2", "crop", "flip", *members) if name in members and name != "none"]
    pair = list(dict.fromkeys(known))[:2]
    return pair if group in component.ADDITIVE and len(pair) == 2 else []


def _defaults() -> dict[str, list[str]]:
    """Return the members that the default run chooses in each group."""
    found: dict[str, list[str]] = {}
    for entry in _read(catalogue.home("conf") / "train.yaml").get("defaults", []):
        for group, names in entry.items() if isinstance(entry, dict) else ():
            found[group] = names if isinstance(names, list) else [names]
    return found


def _one_liner(group: str, name: str, members: Members, packages: Sequence[str]) -> str:
    """Say in a line what a member does; a file of the user's is named, and one that is broken says so."""
    path = members[name]
    try:
        signature = None if group == "recipe" else _signature(group, name, members, packages)
        text = signature.summary if signature else next(iter(_description(path)), "")
    except ConfigError as error:
        text = str(error)
    ours = any(path.is_relative_to(catalogue.home(folder)) for folder in ("conf", "recipes"))
    return _unmarked(text) if ours else f"{_unmarked(text)} [{_short(path)}]"


def _settings_in_short(name: str, members: Members) -> str:
    try:
        settings = _settings(name, members)
    except ConfigError:
        return ""
    return " ".join(f"{key}={table.spell(value)}" for key, value in settings.items() if key != "name")


# One member.


def _member(group: str, name: str, members: Members, packages: Sequence[str]) -> None:
    settings = _settings(name, members)
    signature = _signature(group, name, members, packages)
    if signature is None:
        places = ", ".join(["trainctl", *packages])
        raise ConfigError(f"{_short(members[name])}: name={settings.get('name')}: no such {group} in {places}")
    summary, _, rest = signature.doc.partition("\n\n")
    blocks = re.sub(r"(\.\. math::)\n\s*\n", r"\1\n", rest).split("\n\n")
    table.line(f"{group}={name}", style="bold")
    table.line(_filled(summary))
    if not any(block.startswith("Args:") for block in blocks):
        blocks.insert(0, "Args:")  # parameters without a word about them are still shown
    for block in blocks:
        if block.startswith("Args:"):
            _parameters(_key(group, name), settings, signature, _arguments(block))
        elif block.strip() and not block.startswith(">>>"):
            table.line("\n" + _block(block))
    table.line(f"\nYAML: {_short(members[name])}\nCode: {_short(signature.path)}")
    _uses(group, name, members, settings)


def _uses(group: str, name: str, members: Members, settings: Mapping[str, Any]) -> None:
    """Print the commands that use a member: with its first parameter, and beside another member."""
    first = [f"{_key(group, name)}.{key}={table.spell(value)}" for key, value in settings.items() if key != "name"][:1]
    table.line("Use:  " + shlex.join(["trainctl", f"{group}={name}", *first]))
    if name != "none" and (pair := _pair(group, members, name)):
        table.line("      " + shlex.join(["trainctl", f"{group}=[{','.join(pair)}]"]))


def _key(group: str, name: str) -> str:
    """Return where a member stands in the configuration."""
    return f"{group}.{name}" if group in component.ADDITIVE else group


def _parameters(
    key: str, settings: Mapping[str, Any], signature: component.Signature, meanings: Mapping[str, str]
) -> None:
    """Print the table of a member's parameters, if it has any."""
    rows = []
    for word, allowed in signature.parameters.items():
        default = table.spell(settings[word]) if word in settings else "-"
        rows.append([f"{key}.{word}", default, schema.phrase(allowed), meanings.get(word, "-")])
    if rows:
        table.line()
        table.show(["setting", "default", "allowed", "meaning"], rows)


def _recipe(name: str, path: Path) -> None:
    """Print a recipe: what its header says, and its YAML."""
    header, body = _header(path)
    table.line(f"recipe={name}", style="bold")
    table.line("\n".join(header))
    table.line("\n" + textwrap.indent(body.strip(), "    "))
    table.line(f"\nYAML: {_short(path)}\nUse:  trainctl recipe={name}")


def _signature(group: str, name: str, members: Members, packages: Sequence[str]) -> component.Signature | None:
    """Return the signature of the component that a member's YAML names."""
    path = component.source(group, str(_settings(name, members).get("name", name)), packages)
    return component.signature(path) if path else None


def _settings(name: str, members: Members) -> dict[str, Any]:
    """Return the keys of a member's YAML, and of the members that its own defaults list takes over."""
    own = _read(members[name])
    found: dict[str, Any] = {}
    for entry in own.pop("defaults", None) or ():
        if isinstance(entry, str) and entry != name and entry in members:
            found |= {key: value for key, value in _read(members[entry]).items() if key != "defaults"}
    return found | own


# Files and text.


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{_short(path)}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{_short(path)}: not a mapping of keys to values")
    return tree


def _header(path: Path) -> tuple[list[str], str]:
    """Return a YAML file's leading comments, less Hydra's own, and the rest."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{_short(path)}: cannot be read: {error}") from error
    length = next((index for index, text in enumerate(lines) if not text.startswith("#")), len(lines))
    comments = [text.lstrip("#").strip() for text in lines[:length]]
    return [text for text in comments if not text.startswith("@package")], "\n".join(lines[length:])


def _description(path: Path) -> list[str]:
    """Return the lines of a YAML file's header that describe: no commands."""
    return [text for text in _header(path)[0] if text and not text.startswith(("trainctl ", "$ "))]


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _arguments(block: str) -> dict[str, str]:
    """Read a docstring's section ``Args:``; an argument may go on in lines that are indented further."""
    found: dict[str, str] = {}
    for key, text in re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", block, flags=re.MULTILINE):
        found[key] = _unmarked(" ".join(text.split()))
    return found


def _block(text: str) -> str:
    """Return a paragraph of a docstring as plain text: a formula indented, running text filled."""
    if text.startswith(".. math::"):
        return _formula(text.removeprefix(".. math::"))
    title, newline, body = text.partition(":\n    ")
    if newline and title.isalpha():
        return f"{title}:\n{textwrap.indent(_filled(textwrap.dedent('    ' + body), WIDTH - 4), '    ')}"
    return _filled(text) if not re.search(r"^(\s|[-*] )", text, flags=re.MULTILINE) else _unmarked(text)


def _filled(text: str, width: int = WIDTH) -> str:
    width = min(width, shutil.get_terminal_size((WIDTH, 24)).columns)
    return textwrap.fill(_unmarked(" ".join(text.split())), width, break_long_words=False, break_on_hyphens=False)


def _unmarked(text: str) -> str:
    """Take reStructuredText's marks away: ``code``, :math:`x`, :mod:`name`."""
    text = re.sub(r":math:`([^`]*)`", lambda match: _latex(match[1]), text)
    return re.sub(r"(?::\w+:)?(`+)([^`]+)\1", r"\2", text)


def _formula(text: str) -> str:
    """Return a formula's lines, indented, with its ``&`` columns aligned."""
    lines = [[_latex(cell) for cell in line.split("&")] for line in re.split(r"\\\\\s*\n?|\n", text) if line.strip()]
    columns = max(map(len, lines), default=0)
    widths = [max((len(line[index]) for line in lines if index < len(line)), default=0) for index in range(columns)]
    drawn = []
    for line in lines:
        cells = [cell.ljust(widths[index]) for index, cell in enumerate(line)]
        drawn.append("    " + "    ".join([" ".join(cells[:2]), *cells[2:]]).rstrip())
    return "\n".join(drawn)


def _latex(text: str) -> str:
    r"""Leave LaTeX, without what only sets spaces, sizes and fonts.

    >>> _latex(r"\left(1 + \tfrac12\right)\, x \quad\text{if } x")
    '(1 + \\frac12) x    if x'
    """
    text = re.sub(r"\\(left|right)(?![A-Za-z])\.?|\\(begin|end)\{\w+\*?\}|\\!", "", text)
    text = re.sub(r"\\(text|operatorname|mathrm)\{([^}]*)\}", r"\2", text)
    text = re.sub(r"\\[td]frac", r"\\frac", text)
    text = " ".join(re.sub(r"\\[,;:]|~", " ", text).split())
    return re.sub(r"\s*\\q?quad\s*", "    ", text).strip()
