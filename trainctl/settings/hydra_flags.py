"""Support Hydra's own informational flags: --hydra-help, --cfg, --info."""

import io
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import hydra
from omegaconf import DictConfig

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.settings import config, text
from trainctl.settings.compose import choice, compose_tree, with_members
from trainctl.settings.config import Tree
from trainctl.settings.hydra_tree import compose_members, prepare
from trainctl.settings.kinds import kind_of
from trainctl.settings.members import home, options, overlays
from trainctl.settings.overrides import Word, literal, parse, value_for
from trainctl.settings.spelling import spell
from trainctl.wording import quoted


def answer(argv: Sequence[str], config_dir: str | None = None) -> tuple[str, int]:
    """Return the output of one of Hydra's informational flags, and the exit code.

    Hydra prints names and values as they are; whoever prints the output has to escape it.

    Args:
        argv: The words of the command line.
        config_dir: The user's directory of configuration files.

    Raises:
        ConfigError: If a file cannot be read.
    """
    prepare(overlays(config_dir))
    output = io.StringIO()
    with _as_hydra_expects(argv), redirect_stdout(output), redirect_stderr(output):
        try:
            with reading("configuration", ConfigError, "cannot be shown"):
                hydra.main(config_path=str(home("conf")), config_name="train", version_base="1.3")(_run)()
        except SystemExit as error:
            return output.getvalue(), 0 if not error.code else ConfigError.exit_code
    return output.getvalue(), 0


def for_hydra(overrides: Sequence[str], config_dir: str | None = None) -> list[str]:
    """Return words that mean to Hydra what they mean to us: texts in quotes."""
    directories = overlays(config_dir)
    members = options(directories)
    parsed = parse(overrides)
    with warnings.catch_warnings(action="ignore"):  # they were shown by compose()
        tree = compose_tree(parsed, {word.key_or_group: str(word.input_line) for word in parsed}, members, directories)[
            0
        ]
    choices = [word for word in parsed if word.key_or_group in members]
    every = compose_members(tuple(map(choice, choices)), tuple(directories))
    kept = config.leaves(with_members(choices, directories)[0])
    changed = [_laid_over(key, kept) for key, value in config.leaves(every).items() if kept.get(key, ...) != value]
    others = [_for_hydra(word, kind_of(word.key_or_group, tree), tree) for word in parsed]
    return [*changed, *others]


def _laid_over(key: str, kept: Mapping[str, Any]) -> str:
    """Return the word that takes a recipe's value away."""
    return f"{key}={spell(kept[key])}" if key in kept else f"~{key}"


def _for_hydra(word: Word, kind: Any, tree: Tree) -> str:
    value = value_for(word, kind) if text.holds_text(kind) else None
    if value is None:
        return str(word.input_line)
    shown = text.escaped(value) if literal(value, kind, tree) else value
    listed = f"[{','.join(map(quoted, shown))}]" if isinstance(shown, list) else quoted(shown)
    return f"{word.key_or_group}={listed}"


@contextmanager
def _as_hydra_expects(argv: Sequence[str]) -> Iterator[None]:
    """Set ``sys.argv`` for Hydra, and silence the logging errors of a closed pipe; restore both afterwards."""
    before = sys.argv, logging.raiseExceptions
    sys.argv, logging.raiseExceptions = ["trainctl", *(word.lstrip("+") for word in argv)], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.argv, logging.raiseExceptions = before


def _run(_: DictConfig) -> None:
    raise AssertionError("Hydra runs the task although it got an informational flag")
