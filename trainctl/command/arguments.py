"""The words of a verb: names of runs and files, options as ``key=value``, and overrides. Imports no torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainctl.errors import ConfigError, StorageError
from trainctl.settings.spelling import nearest


@dataclass(frozen=True)
class Words:
    """What a verb was given.

    Args:
        names: The words without ``=``, in order.
        options: The verb's own options, defaults filled in.
        overrides: The other ``key=value`` words.
    """

    names: list[str]
    options: dict[str, str]
    overrides: list[str]


def read(arguments: Sequence[str], defaults: Mapping[str, str], *, most_names: int, overrides: bool = False) -> Words:
    """Sort a verb's words.

    Args:
        arguments: As typed, after the verb.
        defaults: The verb's options, with their defaults.
        most_names: How many words without ``=`` it takes.
        overrides: Whether it takes ``key=value`` words beside its options.

    Raises:
        ConfigError: If a word is one too many, or no option of the verb.
    """
    words = Words([], dict(defaults), [])
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if argument.startswith("-"):
            raise ConfigError(f"{argument}: this verb has no flags beside --help; options are written as key=value")
        if not equals or not key.replace(".", "").isidentifier():  # the names of a sweep's trials hold "=" too
            words.names.append(argument)
        elif key in defaults:
            words.options[key] = value
        elif overrides:
            words.overrides.append(argument)
        else:
            raise ConfigError(f"{argument}: no such option{nearest(key, defaults)}")
    if len(words.names) > most_names:
        raise ConfigError(f"{words.names[most_names]}: one word too many; options are written as key=value")
    return words


def packages(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off ``components=[a,b]``; return its packages and the other overrides."""
    chosen = [word.partition("=")[2] for word in overrides if word.startswith("components=")]
    names = [name.strip() for name in chosen[-1].strip("[]").split(",")] if chosen else []
    return [name for name in names if name], [word for word in overrides if not word.startswith("components=")]


def whole(key: str, text: str, least: int) -> int:
    """Read an option that is a whole number.

    Raises:
        ConfigError: If it is none, or below the least.
    """
    if not (text.isdecimal() and int(text) >= least):
        raise ConfigError(f"{key}={text}: expected a whole number in [{least}, inf)")
    return int(text)


def choice(key: str, value: str, allowed: Iterable[str]) -> str:
    """Return the value of an option that must be one of several.

    Raises:
        ConfigError: If it is none of the allowed values.
    """
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigError(f"{key}={value}: no such {key}{nearest(value, allowed)}")
    return value


def new_path(key: str, text: str) -> Path | None:
    """Read an option that names what the command will write; None if the option is empty.

    Raises:
        StorageError: If that path exists already.
    """
    path = Path(text) if text else None
    if path and path.exists():
        kind = "directory" if path.is_dir() else "file"
        raise StorageError(f"{key}={text}: {kind} already exists")
    return path
