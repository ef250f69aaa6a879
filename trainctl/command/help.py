"""Write the text of `trainctl --help`: examples, groups, settings, commands and exit codes. Imports no torch."""

import ast
import textwrap
from collections.abc import Sequence
from pathlib import Path

from trainctl.errors import EXIT_CODES
from trainctl.fileformat.source import parse_python

# Each command is a module in this directory; a dash in the name is an underscore in the file's name.
COMMANDS = (
    "train", "resume", "verify", "reproduce", "evaluate", "predict", "find-lr", "find-batch-size", "profile", "list",
    "runs", "sweeps", "compare", "inspect", "explain", "export", "finetune", "distill", "prune", "quantize", "merge",
    "ensemble", "split", "lineage", "init", "new", "trust", "settings", "remove", "env",
)  # fmt: skip

HEAD = """\
trainctl trains networks from composable YAML groups.

  trainctl                                  the default run
  trainctl optimizer=sgd schedule=cosine    other components
  trainctl optimizer.lr=0.01 seed=1         any setting
  trainctl recipe=mnist_cnn                 a recipe
  trainctl -m optimizer=adam,sgd seed=0,1   a sweep"""

GROUPS = """\
== Groups ==
Select a component with group=name. For details: trainctl list GROUP"""

FLAGS = "Flags: --cfg job [--resolve], --info, -m, --config-dir DIR, --version, --hydra-help, --shell-completion install=bash."


def text(overrides: Sequence[str], config_dir: str | None) -> str:
    """Return the help; Hydra's own takes 0.3 s longer.

    Args:
        overrides: Words of the command line, whose settings are shown.
        config_dir: The user's directory of configuration files.

    Raises:
        ConfigError: If the overrides are wrong.
    """
    import yaml  # here, as every command needs this module for its list

    from trainctl.settings import compose
    from trainctl.settings.members import options, overlays

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # a tenth of the time, where libyaml is installed
    tree = compose.compose(overrides, config_dir).tree
    settings = yaml.dump(tree, Dumper=dumper, sort_keys=False, allow_unicode=True)
    members = options(overlays(config_dir))
    groups = "\n".join(f"{group}: {', '.join(names)}" for group, names in sorted(members.items()))
    title = f"== Settings of trainctl {' '.join(overrides)} ==" if overrides else "== Settings of the default run =="
    return (
        f"{HEAD}\n\n{GROUPS}\n\n{groups}\n\n{title}\n\n{settings.rstrip()}\n\n{commands()}\n\n{FLAGS}\n{exit_codes()}"
    )


def commands() -> str:
    """Return the list of commands, each with the first line of its own help."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary(name)}" for name in COMMANDS]
    return "\n".join(["== Commands ==", "For details: trainctl COMMAND --help", "", *lines])


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
    return textwrap.fill(f"Exit codes: {codes}.", 110, break_on_hyphens=False)
