"""List the catalogue: the groups of components, and what each member does.

Usage: trainctl list [GROUP [NAME]] [components=[PACKAGE,...]]

  GROUP                  one group's members with their parameters and defaults
  GROUP NAME             one member: formula, parameters, source, files
  SECTION or KEY         settings that every run has: loop, or loop.epochs; see
                         also trainctl settings
  components=[PACKAGE]   packages of your own components to list as well

Components defined in ./conf/GROUP are listed with their files. * marks the
members that the default run uses.

Examples:
  trainctl list
  trainctl list optimizer
  trainctl list schedule cosine
  trainctl list recipe mnist_cnn
  trainctl list model my_model components=[my_package]
"""

import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainctl.command import arguments
from trainctl.components.schedule.base import Reaction, Schedule, as_schedule
from trainctl.errors import ConfigError
from trainctl.report import phrases, prose, setting_table, table
from trainctl.report.styles import LABEL
from trainctl.run import factory
from trainctl.settings import component, explained, member_file, project_file, schema
from trainctl.settings.docstring import Docstring, parse_docstring
from trainctl.settings.member_file import Members
from trainctl.settings.members import home, options, overlays
from trainctl.settings.signature import Signature
from trainctl.settings.spelling import no_such, spell
from trainctl.wording import shell_words

OTHER_REGULARIZATION = (
    "Other regularization: dropout is a parameter of the models (model.dropout), label smoothing of the losses"
    " (loss.label_smoothing), weight decay of the optimizers (optimizer.weight_decay); gradients are clipped with"
    " loop.clip_norm."
)

LONGEST = 120  # characters of the description of a recipe in a table
EPOCHS, STEPS = 30, 40  # the default run's length, and its optimizer steps per epoch
CURVE = "learning rate over a run"
CURVES = (
    "The curves show the learning rate over the default run of 30 epochs, from 0 to optimizer.lr; for plateau, with a"
    " metric that never improves."
)


def main(argv: Sequence[str]) -> int:
    """Print the catalogue, a group or a member; return the exit code.

    Raises:
        ConfigError: If a group, a member, a package or an option does not exist.
    """
    packages, rest = arguments.packages(argv)
    for package in packages:
        component.require(package)
    if not packages and len(rest) == len(argv) and (found := project_file.current()):
        packages = [name for name in found.packages if component.folders(name)]  # nothing of them is executed here
    parsed = arguments.parse(rest, {"components": "[]"}, most_names=2, composes=True)
    names, groups = parsed.names, options(overlays(parsed.config_dir))
    if len(names) == 1 and explained.is_setting(names[0]):  # sections and keys have no members
        setting_table.show(explained.explain(names[0], [f"components=[{','.join(packages)}]"]))
        return 0
    if names and names[0] not in groups:
        raise ConfigError(f"{names[0]}: {no_such('group', names[0], groups)}")
    if len(names) == 2 and names[1] not in groups[names[0]]:
        raise ConfigError(f"{names[1]}: {no_such(names[0], names[1], groups[names[0]])}")
    if not names:
        _catalogue(groups, packages)
    elif len(names) == 1:
        _group(names[0], groups[names[0]], packages)
    elif names[0] == "recipe":
        _recipe(names[1], groups["recipe"][names[1]])
    else:
        _member(names[0], names[1], groups[names[0]], packages)
    return 0


# The catalogue and a group.


def _catalogue(groups: Mapping[str, Members], packages: Sequence[str]) -> None:
    defaults = _defaults()
    rows = [
        [group, name, "*" if name in defaults.get(group, ()) else "", _one_liner(group, name, members, packages)]
        for group, members in groups.items()
        for name in members
    ]
    table.show(["group", "member", "*", "what it does"], rows, sections=True)
    table.line()
    table.line("* marks the members that the default run uses. For details: trainctl list GROUP [NAME]", style=LABEL)


def _group(group: str, members: Members, packages: Sequence[str]) -> None:
    defaults = _defaults().get(group, ())
    rows = []
    for name in members:
        settings = "" if group == "recipe" else _settings_in_short(name, members)
        rows.append([name, "*" if name in defaults else "", _one_liner(group, name, members, packages), settings])
    columns = 3 if group == "recipe" else 4
    headers, rows = [group, "*", "what it does", "parameters"][:columns], [row[:columns] for row in rows]
    if group == "schedule":
        headers.insert(2, CURVE)
        for row in rows:
            row.insert(2, _curve(row[0], members))
    hidden = ("parameters", CURVE) if group == "schedule" else ()  # a curve in parts is none
    table.show(headers, rows, optional=hidden, wrapped=("what it does", "parameters") if hidden else ())
    if group == "schedule":
        table.lines("\n" + prose.paragraph(CURVES))
    others = [name for name in members if name not in ("none", *defaults)] or list(members)
    for name in others[:1]:
        table.line()
        table.line(f"Select one with {group}={name}. For details: trainctl list {group} {name}")
    if pair := _pair(group, members):
        table.line(f"Members can be combined: {group}=[{','.join(pair)}]")
    if group == "regularizer":
        table.lines(prose.paragraph(OTHER_REGULARIZATION))


def _curve(name: str, members: Members) -> str:
    """Draw one of our schedules over the length of the default run; the user's code is not executed here."""
    try:
        settings = member_file.settings(name, members)
        settings |= {"monitor": "val/loss"} if "monitor" in settings else {}
        if component.problems("schedule", "schedule", settings):
            return ""
        built = factory.build("schedule", settings, total_steps=EPOCHS * STEPS, steps_per_epoch=STEPS, maximize=False)
        return phrases.sparkline(_rates(as_schedule(built)), EPOCHS, _levels(), (0.0, 1.0))
    except (ConfigError, ArithmeticError):  # settings of a user's file that lead to no curve, such as gamma=1e300
        return ""


def _rates(schedule: Schedule) -> list[float]:
    """Return the multiplier at each step of the default run."""
    state, rates = Reaction(), []
    for step in range(EPOCHS * STEPS):
        rates.append(schedule.multiplier(step) * state.factor)
        if (step + 1) % STEPS == 0:
            state = schedule.react(state, 1.0)
    return rates


def _levels() -> str:
    blocks = "▁▂▃▄▅▆▇█"
    try:
        blocks.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "_.-:=+*#"
    return blocks


def _pair(group: str, members: Members, first: str = "") -> list[str]:
    """Return two members of a group that takes several, as an example; empty if there are fewer than two."""
    names = [name for name in (first, "l1", "l2", "crop", "flip", *members) if name in members and name != "none"]
    pair = list(dict.fromkeys(names))[:2]
    return pair if group in component.ADDITIVE and len(pair) == 2 else []


def _defaults() -> dict[str, list[str]]:
    """Return the members of each group that the default run uses."""
    defaults: dict[str, list[str]] = {}
    for entry in member_file.read(home("conf") / "train.yaml").get("defaults", []):
        for group, names in entry.items() if isinstance(entry, dict) else ():
            defaults[group] = names if isinstance(names, list) else [names]
    return defaults


def _one_liner(group: str, name: str, members: Members, packages: Sequence[str]) -> str:
    """Describe a member in one line; name the file if it is the user's, and its error if it is broken."""
    path = members[name]
    try:
        signature = None if group == "recipe" else member_file.signature(group, name, members, packages)
        text = signature.summary if signature else _first_sentence(" ".join(member_file.description(path)))
    except ConfigError as error:
        text = error.lines[0].replace(str(path), _short(path))
    ours = any(path.is_relative_to(home(directory)) for directory in ("conf", "recipes"))
    return prose.plain(text) if ours else f"{prose.plain(text)} [{_short(path)}]"


def _first_sentence(text: str) -> str:
    """Return the first sentence of a text, or its first clause if that is long.

    >>> _first_sentence("Overfitting: it memorises. The loss rises."), _first_sentence("No end")
    ('Overfitting: it memorises.', 'No end')
    """
    sentence = re.split(r"(?<=[^.\s]{2}[.?!]) ", text, maxsplit=1)[0]
    for mark in (": ", "; ", ", "):
        if len(sentence) > LONGEST:
            sentence = sentence[: LONGEST + 1].rpartition(mark)[0] or sentence
    return sentence


def _settings_in_short(name: str, members: Members) -> str:
    try:
        settings = member_file.settings(name, members)
    except ConfigError:
        return ""
    return " ".join(f"{key}={spell(value)}" for key, value in settings.items() if key != "name")


# One member.


def _member(group: str, name: str, members: Members, packages: Sequence[str]) -> None:
    settings = member_file.settings(name, members)
    signature = member_file.signature(group, name, members, packages)
    if signature is None:
        searched = ", ".join(["trainctl", *packages])
        raise ConfigError(f"{_short(members[name])}: name={settings.get('name')}: no such {group} in {searched}")
    doc = parse_docstring(signature.doc)
    table.line(f"{group}={name}", style="bold")
    table.lines(prose.paragraph(doc.summary))
    for text in doc.body:
        table.lines("\n" + prose.block(text))
    _parameters(f"{group}.{name}" if group in component.ADDITIVE else group, settings, signature, doc)
    for title, text in (("Returns", doc.returns), ("Source", doc.source)):
        if text:
            table.lines("\n" + prose.paragraph(f"{title}: {text}"))
    table.line()
    table.line(f"YAML: {_short(members[name])}")
    table.line(f"Code: {_short(signature.path)}")
    _examples(group, name, members, settings)


def _parameters(key: str, settings: Mapping[str, Any], signature: Signature, doc: Docstring) -> None:
    """Print the table of a member's parameters, if it has any."""
    rows = []
    for name, annotation in signature.parameters.items():
        default = spell(settings[name]) if name in settings else "-"
        meaning = prose.plain(doc.arguments.get(name, "-"))
        rows.append([f"{key}.{name}", default, schema.phrase(annotation), meaning])
    if rows:
        table.line()
        table.show(
            ["setting", "default", "allowed", "meaning"], rows, optional=["allowed"], wrapped=["allowed", "meaning"]
        )


def _examples(group: str, name: str, members: Members, settings: Mapping[str, Any]) -> None:
    """Print commands that use a member: with its first parameter, and together with another member."""
    key = f"{group}.{name}" if group in component.ADDITIVE else group
    first = [f"{key}.{word}={spell(value)}" for word, value in settings.items() if word != "name"][:1]
    table.line("Use:  " + shell_words(["trainctl", f"{group}={name}", *first]))
    if name != "none" and (pair := _pair(group, members, name)):
        table.line("      " + shell_words(["trainctl", f"{group}=[{','.join(pair)}]"]))


def _recipe(name: str, path: Path) -> None:
    """Print a recipe: its header and its YAML."""
    header, body = member_file.header(path)
    table.line(f"recipe={name}", style="bold")
    table.lines("\n".join(header))
    table.lines("\n" + textwrap.indent(body.strip(), "    "))
    table.line()
    table.line(f"YAML: {_short(path)}")
    table.line(f"Use:  trainctl {shell_words([f'recipe={name}'])}")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
