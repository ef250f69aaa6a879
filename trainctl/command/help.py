"""Write the text of `trainctl --help`: examples, commands, where settings are explained, exit codes. Imports no torch."""

import ast
import re
import shutil
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
    """Wrap lines of which the second column begins after several spaces, so that it stays a column."""
    lines = []
    for line in text.splitlines():
        match = re.match(r"( *\S.*?\s{2,})(\S.*)", line)
        if match and len(line) > _width() and len(match[1]) < _width() // 2:
            lines.append(_column(match[1], match[2]))
        else:
            lines.append(line)
    return "\n".join(lines)


def _column(first: str, second: str) -> str:
    return textwrap.fill(
        second, _width(), initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )


def commands() -> str:
    """Return the list of commands, each with the first line of its own help."""
    width = max(map(len, COMMANDS))
    lines = [_column(f"  {name:{width}}  ", summary(name)) for name in COMMANDS]
    return "\n".join(["== Commands ==", "For details: trainctl help COMMAND", "", *lines])


def summary(command: str) -> str:
    """Return the first line of a command's help, read from the source text: importing all commands takes 0.1 s."""
    with _source(command).open(encoding="utf-8") as file:
        return file.readline().strip().strip('"').rstrip(".")


def of(command: str) -> str:
    """Return the help of a command: the docstring of its module, from the source text, as `python -OO` drops it."""
    return (ast.get_docstring(parse_python(_source(command)), clean=False) or "").strip()


def _source(command: str) -> Path:
    return Path(__file__).with_name(f"{command.replace('-', '_')}.py")


def exit_codes() -> str:
    """Return the list of exit codes as running text."""
    codes = ", ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
    return _filled(f"Exit codes: {codes}.")
