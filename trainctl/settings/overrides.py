"""Parse words of the command line as overrides, with Hydra's grammar, and check each override by itself."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading, reason
from trainctl.fileformat.limits import check_brackets_and_digits
from trainctl.settings import component
from trainctl.settings.members import Members
from trainctl.settings.spelling import misspelt, nearest, no_such, spell


def parse(words: Sequence[str]) -> list[Override]:
    """Parse ``key=value`` words.

    Raises:
        ConfigError: With one line for each word that cannot be parsed.
    """
    parser, parsed, wrong = OverridesParser.create(), [], []
    for word in words:
        try:
            parsed.append(_parse(parser, word))
        except ConfigError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return parsed


def _parse(parser: OverridesParser, word: str) -> Override:
    check_brackets_and_digits(word, word[:60], ConfigError)
    with reading(word, ConfigError, explain=lambda error: f"{word}: {misspelt(word, reason(error))}"):
        return parser.parse_override(word)


def values(override: Override, members: Members) -> list[str]:
    """Return the values of an override, as they are written on the command line; several if it is swept.

    Raises:
        ConfigError: If it is a sweep over something other than a list of values.
    """
    with reading(str(override.input_line), ConfigError, "not a list of values"):
        value: Any = override.value()
        if isinstance(value, Glob):
            return list(value.filter(list(members.get(override.key_or_group, ()))))
        if override.is_sweep_override():
            return [str(text) for text in override.sweep_string_iterator()]
        return [override.get_value_element_as_str()]


def plain_value(override: Override) -> Any:
    """Return the value of an override, with its interpolations resolved.

    Raises:
        ConfigError: If an interpolation cannot be resolved.
    """
    word = str(override.input_line)
    with reading(word, ConfigError, "cannot be resolved", lambda error: unresolved(error, word)):
        node = OmegaConf.create({"value": override.value()})
        return OmegaConf.to_container(node, resolve=True)["value"]  # type: ignore[index, call-overload]


def unresolved(error: Exception, word: str = "") -> str | None:
    """Return the message for a missing value or an interpolation that cannot be resolved; None for other errors.

    Args:
        error: The error that OmegaConf raised.
        word: The word as it was typed; if empty, the message names the key.
    """
    if not isinstance(error, OmegaConfBaseException):
        return None
    text = reason(error).removeprefix("KeyError raised while resolving interpolation: ").strip('"')
    text = text.partition(" full_key: ")[0]
    where = word or error.full_key
    return f"{where}: {text}" if where else text


def misuses(override: Override, members: Members, *, sweep: bool) -> Iterator[str]:
    """Yield a message for each error that shows in an override by itself, before anything is composed."""
    line, key = str(override.input_line), override.key_or_group
    if override.is_delete():
        group = key.partition(".")[0]
        hint = f"; use {group}=none" if "none" in members.get(group, ()) else ""
        yield f"{line}: deleting keys (~key) is not supported{hint}"
    elif key == "hydra" or key.startswith(("hydra.", "hydra/")):
        yield f"{line}: Hydra's own settings are fixed; the run directory is created below output.root"
    elif override.package is not None:
        yield f"{line}: packages cannot be changed; use {key}=..."
    elif override.is_sweep_override() and not sweep:
        yield f"{line}: several values make a sweep; use trainctl -m {line}"
    elif key in members:
        try:
            yield from _unknown_members(override, members[key])
        except ConfigError as error:
            yield str(error)


def _unknown_members(override: Override, options: dict[str, Path]) -> Iterator[str]:
    """Yield a message for each value of a group's override that is not a member of the group."""
    group = override.key_or_group
    value: Any = override.value()
    if isinstance(value, Glob):
        return
    choices = values(override, {}) if override.is_sweep_override() else [value]
    for choice in choices:
        if isinstance(choice, dict) or (isinstance(choice, list) and group not in component.ADDITIVE):
            amount = "a list of members" if group in component.ADDITIVE else "one member"
            yield f"{group}={spell(choice)}: takes {amount}{nearest('', options)}"
            continue
        names = choice.strip("[]").split(",") if isinstance(choice, str) else choice
        for name in names if isinstance(names, list) else [names]:
            if name is None and not isinstance(choice, list) and ("none" in options or group == "recipe"):
                continue
            if name is None:
                yield f"{group}=null: a run needs one{nearest('', options)}"
            elif name not in options:
                yield f"{group}={spell(name)}: {no_such(group, str(name), options)}"
