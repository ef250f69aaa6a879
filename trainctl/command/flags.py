"""The words of a command line before its command is known: flags, and files in place of settings. Imports no torch."""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainctl.command.help import COMMANDS
from trainctl.errors import (
    ConfigError,
)
from trainctl.report import table
from trainctl.settings import habits

INFO = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]  # what Hydra can be asked for
SWITCHES = (
    ("--help", "-h"),
    ("--hydra-help",),
    ("--version",),
    ("--resolve",),
    ("--multirun", "-m"),
    ("--shell-completion", "-sc"),
)
VALUED = ("--cfg", "-c", "--package", "-p", "--config-dir", "-cd")  # flags that a value follows
FLAGS = frozenset({*VALUED, "--info", "-i"}.union(*SWITCHES))
# Commands that train, be it a few steps in memory, with the words of the command line.
COMPOSING = ("train", "find-lr", "find-batch-size", "profile")


def with_command_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the command before the flags: ``-m train seed=0,1`` is ``train -m seed=0,1``.

    >>> with_command_first(["-m", "train", "seed=0,1"]), with_command_first(["--config-dir", "train"])
    (['train', '-m', 'seed=0,1'], ['--config-dir', 'train'])
    """
    words = list(arguments)
    for place, word in enumerate(words):
        if word in COMMANDS:
            return [word, *words[:place], *words[place + 1 :]]
        if word not in ("-m", "--multirun", "-h", "--help"):
            break
    return words


def with_file_expanded(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of what trains with a file or directory replaced by the settings that it stands for.

    Raises:
        ConfigError: If there are two, or nothing can be trained on it.
        DataError: If it does not exist.
    """
    words = list(arguments)
    command = words[:1] if words and words[0] in COMPOSING else []
    rest = words[len(command) :]
    place = next(_bare(rest), None)
    if place is None or (words[0] in COMMANDS and not command) or rest[place] in (*COMMANDS, "help"):
        return words
    path = rest[place]
    if any(_is_flag(word) and word.partition("=")[0] not in FLAGS for word in rest[:place]):
        return words  # perhaps the value of a flag that does not exist
    if not os.path.lexists(path):
        if Path(path).suffix or path.endswith("/"):
            from trainctl.settings import from_file

            from_file.require_no_data(path)
        return words
    from trainctl.settings import derive, from_file

    before, after = (from_file.in_full(path, part) for part in (rest[:place], rest[place + 1 :]))
    others = [*before, *after]
    for other in _bare(others):
        from_file.require_one(path, others[other])
    found = from_file.expanded(path, [word for word in others if "=" in word and not word.startswith("-")])
    command = [] if command == ["train"] else command
    words = [*command, *before, *found.words, *after]
    if not any(word.startswith("-") for word in others if word not in ("-m", "--multirun")):
        for reason in found.reasons:  # flags ask for something that is to be read alone
            table.line(f"{path}: {reason}")
        table.line(f"the same as: {derive.command(words)}")
        table.flush()
    return words


def _bare(words: Sequence[str]) -> Iterator[int]:
    """Yield the places of the words that are neither flags with their values nor settings: files, or what is misspelt.

    >>> list(_bare(["--cfg", "job", "-m", "seed=1", "no-file.csv"]))
    [4]
    """
    value = False
    for place, word in enumerate(words):
        if not (value or _is_flag(word) or is_setting(word) or ("=" in word and not os.path.lexists(word))):
            yield place
        value = word in VALUED or (word in ("--info", "-i") and words[place + 1 : place + 2] in [[one] for one in INFO])


def _is_flag(word: str) -> bool:
    """Return whether a word begins like a flag or a deleted key, and no file is called so, or it is a flag of ours."""
    return word.startswith(("-", "~")) and (word.partition("=")[0] in FLAGS or not os.path.lexists(word))


def is_setting(word: str) -> bool:
    """Return whether a word is a setting, even if a file is called like it: `optimizer=sgd` means the same everywhere."""
    if "=" not in word:
        return False
    from trainctl.command import arguments

    return arguments.is_setting(word.partition("=")[0])


def following(words: Sequence[str], place: int) -> str | None:
    """Return the word after a word, if it is neither a setting nor a flag: habit has it that it is the value."""
    after = words[place + 1] if place + 1 < len(words) else None
    return after if after is not None and "=" not in after and not after.startswith(("--", "~", "+")) else None


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split arguments into Hydra's flags and overrides.

    Raises:
        ConfigError: If a flag is unknown, or would execute code from files.
    """
    for place, word in enumerate(arguments):
        name = word.partition("=")[0]
        if len(name) > 2 and name[1] != "-" and name[0] == "-" and name not in ("-sc", "-cd"):  # -patience is not -p
            habit = habits.of_flag(word, following(arguments, place))
            raise ConfigError(f"{word}: unknown flag{habit or '; see trainctl --help'}")
    parser = argparse.ArgumentParser(prog="trainctl", add_help=False, allow_abbrev=False, exit_on_error=False)
    for names in SWITCHES:
        parser.add_argument(*names, action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--package", "-p")
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--info", "-i", const="all", nargs="?", choices=INFO)
    try:
        flags, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
    for place, word in enumerate(rest):
        if word.startswith("-"):
            habit = habits.of_flag(word, following(rest, place))
            raise ConfigError(f"{word}: unknown flag{habit or '; see trainctl --help'}")
        if "=" not in word and not word.startswith("~") and (habit := habits.of_bare(word, following(rest, place))):
            raise ConfigError(f"{word}: expected key=value{habit}")
    return flags, rest
