"""Select runs by their settings: `model=cnn`, `optimizer.lr=0.1`, `tag=baseline`. Imports no torch."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from trainctl.finished.record import Record
from trainctl.settings import component, written
from trainctl.settings.config import leaves
from trainctl.settings.spelling import spell
from trainctl.settings.text import split

Filter = Callable[[Record], bool]


def filters(words: Sequence[str], tags: str = "", name: str = "") -> list[Filter]:
    """Return what a run has to meet.

    Args:
        words: Settings of the run; several values, separated by commas, mean any of them, and * any text.
        tags: Tags, separated by commas: the run has all of them.
        name: A part of the run's name, or a pattern with *.
    """
    found: list[Filter] = [_of_word(word) for word in words]
    if tags:
        wanted = set(split(tags.strip("[]")))
        found.append(lambda record: wanted <= set(record.tags))
    if name:
        pattern = name if "*" in name else f"*{name}*"
        found.append(lambda record: fnmatchcase(record.name, pattern))
    return found


def _of_word(word: str) -> Filter:
    key, wanted = written.key_of(word), split(word.partition("=")[2].strip("[]"))

    def has(record: Record) -> bool:
        return any(_equal(value, text) for text in wanted for value in _values(record, key))

    return has


def _values(record: Record, key: str) -> list[str]:
    """Return the values of a key in a run: of a group its members, of a list its items and the list."""
    group = record.config.get(key)
    if key in component.GROUPS:
        found = (
            [group]
            if isinstance(group, Mapping) and "name" in group
            else list(group.values() if isinstance(group, Mapping) else ())
        )
        return [str(member.get("name")) for member in found if isinstance(member, Mapping)] or ["none"]
    flat = leaves(record.config)
    if key not in flat:
        return []
    value = flat[key]
    return [spell(value), *(spell(item) for item in (value if isinstance(value, list) else ()))]


def _equal(value: str, text: str) -> bool:
    """Return whether a value is what was typed, as a text, a pattern or a number.

    >>> _equal("0.1", "1e-1"), _equal("cnn", "c*"), _equal("cnn", "mlp")
    (True, True, False)
    """
    if value == text or ("*" in text and fnmatchcase(value, text)):
        return True
    try:
        return float(value) == float(text)
    except ValueError:
        return False
