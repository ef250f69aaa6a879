"""Parse words of the command line as overrides, with Hydra's grammar, and check each override by itself.

Whether a word is valid depends on its key: the value of a text is what the shell passed, and need not follow the
grammar. So a word whose value cannot be parsed is kept, and :func:`value_for` decides once the key's type is known.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, OverrideType, ValueType
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading, reason
from trainctl.fileformat.limits import check_word
from trainctl.settings import component, habits, schema, text
from trainctl.settings.elsewhere import TRUTHS
from trainctl.settings.kinds import kind_of
from trainctl.settings.members import Members
from trainctl.settings.spelling import misspelt, nearest, no_such, spell
from trainctl.wording import shell_words

SETTING = re.compile(r"(\+{0,2})([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)=(.*)", re.DOTALL)
NUMBER = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)=(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?)", re.ASCII)
LONGEST_NUMBER = 100  # characters of its word
CHOICE = re.compile(r"choice\((.*)\)", re.DOTALL)
PREFIXES = {"": OverrideType.CHANGE, "+": OverrideType.ADD, "++": OverrideType.FORCE_ADD}


@dataclass
class Word(Override):
    """An override, with its value as the shell passed it.

    Args:
        text: What follows the first ``=``.
        trouble: Why the value does not follow Hydra's grammar; empty if it does.
    """

    text: str = ""
    trouble: str = ""


def parse(words: Sequence[str]) -> list[Word]:
    """Parse ``key=value`` words.

    Raises:
        ConfigError: With one line for each word that cannot be parsed, whatever the type of its key.
    """
    parser, parsed, wrong = OverridesParser.create(), [], []
    for word in words:
        try:
            parsed.append(_parse(parser, word))
        except ConfigError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigError(*wrong)
    return parsed


def _parse(parser: OverridesParser, word: str) -> Word:
    check_word(word)
    setting = SETTING.fullmatch(word)
    try:
        with reading(word, ConfigError, explain=lambda error: f"{word}: {misspelt(word, reason(error))}"):
            parsed = parser.parse_override(word)
    except ConfigError as error:
        if not setting:
            raise
        prefix, key, value = setting.groups()
        return Word(PREFIXES[prefix], key, ValueType.ELEMENT, None, input_line=word, text=value, trouble=str(error))
    return Word(**vars(parsed), text=word.partition("=")[2])


def with_number(word: str) -> Word | None:
    """Return a word whose value is a number, as the parser does in a hundred times the time; None if it is another one.

    >>> with_number("optimizer.lr=1e-05").value(), with_number("seed=7").value(), with_number("seed=07")
    (1e-05, 7, None)
    """
    if not (match := NUMBER.fullmatch(word)) or len(word) > LONGEST_NUMBER:
        return None
    key, text = match[1], match[2]
    value = float(text) if set(text) & {".", "e"} else int(text)
    return Word(OverrideType.CHANGE, key, ValueType.ELEMENT, value, input_line=word, text=text)


def value_for(word: Word, annotation: Any) -> Any:
    """Return the value of a word for a key of some type.

    Args:
        word: The word.
        annotation: The key's type; None if it is not known.

    Raises:
        ConfigError: If the value can be read neither as a text nor with Hydra's grammar, or if there are several.
    """
    if text.is_text_or_texts(annotation):
        items = text.read_items(word.text)
        return text.read_text(word.text) if items is None else items
    if text.is_text(annotation):
        exists = schema.is_path(annotation) and "\0" not in word.text and os.path.lexists(word.text)
        return word.text if exists else text.read_text(word.text)
    if text.is_texts(annotation) and word.text != "null":
        if (items := text.read_items(word.text)) is None:
            raise ConfigError(in_brackets(word))
        return items
    as_text = annotation not in (None, Any) and schema.fits(word.text, annotation)
    if word.trouble or word.is_sweep_override():
        if as_text:
            return word.text
        raise ConfigError(word.trouble or several(word, annotation))
    value = word.value()
    return word.text if as_text and not schema.fits(value, annotation) else value


def several(word: Word, annotation: Any = None) -> str:
    """Return the message for several values where one is expected."""
    line = str(word.input_line)
    values = word._value
    if isinstance(values, ChoiceSweep) and values.simple_form and _is_list(annotation):
        return in_brackets(word)
    return f"{line}: several values make a sweep; use {shell_words(['trainctl', '-m', line])}"


def in_brackets(word: Word) -> str:
    """Return the message for a list without brackets."""
    return f"{word.input_line}: expected a list in brackets: {word.key_or_group}=[{word.text}]"


def _is_list(annotation: Any) -> bool:
    return annotation is not None and schema.phrase(annotation).startswith("a list")


def options(word: Word, annotations: Sequence[Any]) -> list[str] | None:
    """Return the values of a word of a sweep, if its key is a text or a list of texts; None if it is not.

    Commas separate the values, except in a path that exists. ``choice(...)`` may be around them; Hydra's other functions stay with Hydra.

    Args:
        word: The word.
        annotations: The key's type in each component that has it.
    """
    if not annotations or not all(map(text.holds_text, annotations)):
        return None
    if word.text and os.path.lexists(word.text) and any(map(schema.is_path, annotations)):
        return [word.text]
    if not word.trouble and word.is_sweep_override() and not isinstance(word._value, ChoiceSweep):
        return None
    function = CHOICE.fullmatch(word.text)
    return text.split(function[1] if function else word.text)


def values(word: Word, members: Members, annotations: Sequence[Any] = ()) -> list[str]:
    """Return the values of an override, as they are written on the command line; several if it is swept.

    Args:
        word: The word.
        members: The members of all groups, for ``glob(...)``.
        annotations: The key's type in each component that has it.

    Raises:
        ConfigError: If it is a sweep over something other than a list of values.
    """
    if (listed := options(word, annotations)) is not None:
        return listed
    if word.trouble:
        raise ConfigError(word.trouble)
    with reading(str(word.input_line), ConfigError, "not a list of values"):
        value: Any = word.value()
        if isinstance(value, Glob):
            return list(value.filter(list(members.get(word.key_or_group, ()))))
        if word.is_sweep_override():
            return [str(item) for item in word.sweep_string_iterator()]
        return [word.get_value_element_as_str()]


def plain_value(override: Word, annotation: Any) -> Any:
    """Return the value of an override for a key of some type, with its interpolations resolved.

    Raises:
        ConfigError: If it cannot be read, or an interpolation cannot be resolved.
    """
    value, word = value_for(override, annotation), str(override.input_line)
    if literal(value, annotation, {}):
        return value
    with reading(word, ConfigError, "cannot be resolved", lambda error: unresolved(error, word)):
        node = OmegaConf.create({"value": value})
        return OmegaConf.to_container(node, resolve=True)["value"]  # type: ignore[index, call-overload]


def literal(value: object, annotation: Any, tree: Mapping[str, Any]) -> bool:
    """Return whether a value is a text in which ``${...}`` and ``???`` have no meaning.

    Those of a path that exists have none, nor those of another text that cannot be resolved: a column may be called so.
    """
    texts = value if isinstance(value, list) else [value]
    if not text.holds_text(annotation):
        return False
    return any(isinstance(item, str) and _is_literal(item, annotation, tree) for item in texts)


def _is_literal(value: str, annotation: Any, tree: Mapping[str, Any]) -> bool:
    if value == "???":
        return True
    if "${" not in value:
        return False
    if schema.is_path(annotation):
        return "\0" not in value and os.path.lexists(value)
    try:
        with reading("text", ConfigError):
            return not isinstance(OmegaConf.create({**tree, "": value})[""], str)
    except ConfigError:
        return True


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


def misuses(override: Word, members: Members, *, sweep: bool) -> Iterator[str]:
    """Yield a message for each error that shows in an override by itself, before anything is composed."""
    line, key = str(override.input_line), override.key_or_group
    if override.is_delete():
        yield f"{line}: deleting keys (~key) is not supported{habits.of_deletion(key, members)}"
    elif key == "hydra" or key.startswith(("hydra.", "hydra/")):
        yield f"{line}: Hydra's own settings are fixed; {habits.of_hydra(key, override.text)}"
    elif override.package is not None:
        yield f"{line}: packages cannot be changed; use {key}={override.text}"
    elif key in members and override.trouble:
        yield override.trouble
    elif key in members and override.is_sweep_override() and not sweep:
        yield several(override, list if key in component.ADDITIVE else None)
    elif key in members:
        try:
            yield from _unknown_members(override, members[key])
        except ConfigError as error:
            yield str(error)
    elif (kind := kind_of(key, {})) is not None:
        try:
            value_for(override, kind)
        except ConfigError as error:
            yield str(error)


def _unknown_members(override: Word, options: dict[str, Path]) -> Iterator[str]:
    """Yield a message for each value of a group's override that is not a member of the group."""
    group = override.key_or_group
    value: Any = override.value()
    if isinstance(value, Glob):
        return
    choices = values(override, {}) if override.is_sweep_override() else [value]
    for choice in choices:
        if isinstance(choice, dict) or (isinstance(choice, list) and group not in component.ADDITIVE):
            amount = "a list of members" if group in component.ADDITIVE else "one member"
            yield f"{group}={spell(choice)}: takes {amount}{habits.of_mapping(group, choice)}{nearest('', options)}"
            continue
        names = choice.strip("[]").split(",") if isinstance(choice, str) else choice
        for name in names if isinstance(names, list) else [names]:
            if name is None and not isinstance(choice, list) and ("none" in options or group == "recipe"):
                continue
            if name is None:
                yield f"{group}=null: a run needs one{nearest('', options)}"
            elif name not in options:
                habit = habits.of_value(group, name, list(options))
                near = "" if str(name).lower() in TRUTHS else str(name)  # `on` is not meant as `none`
                expected = f"no such {group}{habit}" if habit else no_such(group, near, options)
                yield f"{group}={spell(name)}: {expected}"
