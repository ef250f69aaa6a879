"""Write the text of `trainctl --help`: examples, commands, where settings are explained, exit codes. Imports no torch."""

import ast
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from trainctl.errors import EXIT_CODES
from trainctl.fileformat.source import parse_python

# Each command is a module in this directory; a dash in the name is an underscore in the file's name.
COMMANDS = (
    "train", "resume", "verify", "reproduce", "evaluate", "predict", "find-lr", "find-batch-size", "profile", "list",
    "runs", "sweeps", "compare", "report", "inspect", "explain", "export", "finetune", "distill", "prune", "quantize",
    "merge", "ensemble", "split", "lineage", "serve", "init", "new", "trust", "settings", "remove", "env",
)  # fmt: skip

HEAD = """\
trainctl trains networks from composable YAML groups.

  trainctl                                  the default run
  trainctl penguins.csv                     a file or directory of your own
  trainctl optimizer=sgd schedule=cosine    other components
  trainctl optimizer.lr=0.01 seed=1         any setting
  trainctl recipe=mnist_cnn                 a recipe
  trainctl -m optimizer=adam,sgd seed=0,1   a sweep"""

GROUPS = "Select a component with group=name, for each of these groups:"
SETTINGS = """\
  trainctl list GROUP       the components of a group; trainctl list: of all
  trainctl settings         what every setting means, its range and default
  trainctl settings KEY     one setting, and which file or word has set it
  trainctl --cfg job        all settings of a run with their values"""
FLAGS = "Flags: --cfg job [--resolve], --info, -m, --config-dir DIR, --version, --hydra-help, --shell-completion install=bash."
WIDEST = 100  # characters
EXAMPLE = 4  # spaces before an example


def text(overrides: Sequence[str], config_dir: str | None) -> str:
    """Return the help; Hydra's own takes 0.3 s longer.

    Args:
        overrides: Words of the command line, whose settings are shown.
        config_dir: The user's directory of configuration files.

    Raises:
        ConfigError: If the overrides are wrong.
    """
    parts = [_wrapped(HEAD), commands()]
    if overrides or config_dir is not None:
        parts += _of_words(overrides, config_dir)
    else:
        parts += ["== Settings ==", _filled(f"{GROUPS} {', '.join(_groups())}."), _wrapped(SETTINGS)]
    return "\n\n".join([*parts, _filled(FLAGS), exit_codes()])


def _of_words(overrides: Sequence[str], config_dir: str | None) -> list[str]:
    """Return the members of all groups, and the settings that words compose."""
    import yaml  # here, as every command needs this module for its list

    from trainctl.settings import compose
    from trainctl.settings.members import options, overlays

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # a tenth of the time, where libyaml is installed
    tree = compose.compose(overrides, config_dir).tree
    settings = yaml.dump(tree, Dumper=dumper, sort_keys=False, allow_unicode=True)
    members = [f"{group}: {', '.join(names)}" for group, names in sorted(options(overlays(config_dir)).items())]
    listed = "\n".join(_filled(line, indent="  ") for line in members)
    return [f"== Groups ==\n\n{listed}", f"== Settings of trainctl {' '.join(overrides)} ==\n\n{settings.rstrip()}"]


def _groups() -> list[str]:
    from trainctl.settings.members import options

    return sorted(options([]))


def _width() -> int:
    """Return the width of help [characters]: that of the terminal, within limits."""
    return max(40, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns))


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _width(), subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _wrapped(text: str) -> str:
    return fitted(text, _width())


def fitted(text: str, width: int) -> str:
    r"""Wrap a text with examples and columns to a width; a text that is no wider stays as it is.

    Lines of running text are filled together, and so are those of a usage, which begin with a bracket. Where a second
    column begins after several spaces, it stays a column, or goes below the first if that is wide. An example stays one
    line, so that it can be pasted.

    >>> print(fitted("Some words that are filled.\n\n  a b    what it does here\n         and there\n    c d", 20))
    Some words that are
    filled.
    <BLANKLINE>
      a b    what it
             does here
             and there
        c d
    """
    if all(len(line) <= width for line in text.splitlines()):
        return text
    parts: list[tuple[str, str, str]] = []  # an indentation, a first column, and what is filled behind it
    for line in text.splitlines():
        first, rest = _split(line)
        indent = " " * (len(line) - len(line.lstrip()))
        if parts and _continues(parts[-1], indent, first, rest):
            parts[-1] = (*parts[-1][:2], f"{parts[-1][2]} {rest}")
        else:
            parts.append((indent, first, rest))
    return "\n".join(_part(*part, width) for part in parts)


def _split(line: str) -> tuple[str, str]:
    """Return the first column of a line with the spaces around it, empty if it has but one, and the rest."""
    match = re.match(r"( *\S.*?\s{2,})(\S.*)", line)
    return (match[1], match[2]) if match else ("", line.strip())


def _continues(before: tuple[str, str, str], indent: str, first: str, rest: str) -> bool:
    """Return whether a line continues the one before it: running text, a usage, or a second column."""
    if first or not rest or not before[2]:
        return False
    if before[1]:
        return len(indent) == len(before[1])
    return indent == before[0] == "" or (rest.startswith("[") and len(indent) > len(before[0]))


def _part(indent: str, first: str, rest: str, width: int) -> str:
    if first and len(first) < width // 2:
        return _column(first, rest, width)
    if len(indent) >= EXAMPLE and not first and " [" not in rest:
        return f"{indent}{rest}"
    head = [first.rstrip()] if first else []
    start = f"{indent}    " if head else indent
    later = f"{indent}    " if indent or " [" in rest else ""
    filled = textwrap.wrap(
        rest, width, initial_indent=start, subsequent_indent=later, break_on_hyphens=False, break_long_words=False
    )
    return "\n".join([*head, *filled])


def _column(first: str, second: str, width: int) -> str:
    return textwrap.fill(
        second, width, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def commands() -> str:
    """Return the list of commands, each with the first line of its own help."""
    width = max(map(len, COMMANDS))
    lines = [_column(f"  {name:{width}}  ", summary(name), _width()) for name in COMMANDS]
    return "\n".join(["== Commands ==", "For details: trainctl help COMMAND", "", *lines])


def summary(command: str) -> str:
    """Return the first line of a command's help, read from the source text: importing all commands takes 0.1 s."""
    with _source(command).open(encoding="utf-8") as file:
        return file.readline().strip().strip('"').rstrip(".")


def of(command: str) -> str:
    """Return the help of a command: the docstring of its module, from the source text, as `python -OO` drops it."""
    return (ast.get_docstring(parse_python(_source(command)), clean=False) or "").strip()


def shown(command: str) -> str:
    """Return the help of a command, wrapped if the terminal is narrower."""
    return fitted(of(command), max(40, shutil.get_terminal_size((sys.maxsize, 24)).columns))


def _source(command: str) -> Path:
    return Path(__file__).with_name(f"{command.replace('-', '_')}.py")


def exit_codes() -> str:
    """Return the list of exit codes as running text."""
    codes = ", ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
    return _filled(f"Exit codes: {codes}.")
