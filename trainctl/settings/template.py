"""Points of a sweep that differ from a checked one in the values of settings alone, in a fraction of the time. No torch.

Composing and checking a point takes more than a millisecond, and a sweep may have 10,000 of them. Points that select the
same members and set the same keys differ in the values of these keys only, and each value is checked against the type of
its key. Whatever is not that simple (an interpolation, a path, a value that is wrong) is left to the full composition,
which also writes all messages.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainctl.errors import ConfigError
from trainctl.settings import schema
from trainctl.settings.config import SECTIONS, Config, Tree, knobs
from trainctl.settings.kinds import kind_of
from trainctl.settings.members import Members
from trainctl.settings.overrides import misuses, parse, value_for, with_number
from trainctl.settings.spelling import spell
from trainctl.settings.validation import contradictions

BUDGETS = ("loop.max_steps", "loop.max_time")  # decide about loop.epochs
MOST_TEXTS = 10_000
_UNKNOWN = object()
Words = tuple[str, ...]


@dataclass
class Template:
    """A point that was composed and checked in full, from which others are derived.

    Args:
        config: Its configuration.
        words: All of its words.
        unused: The keys of words that do not apply to its members.
        members: The members of all groups.
    """

    config: Config
    words: dict[str, str]
    unused: frozenset[str]
    members: Members
    _values: dict[str, Any] = field(default_factory=dict)
    _kinds: dict[str, Any] = field(default_factory=dict)
    _texts: dict[tuple[str, Words], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._spelt = {key: spell(value) for key, value in self.config.tree.items()}

    def derive(self, words: Sequence[tuple[str, str]]) -> tuple[Config, str] | None:
        """Return the configuration and the identity of a point with the same members and keys; None if it is not simple.

        Args:
            words: The key of each word that may differ, and the word.
        """
        changed: dict[str, Any] = {}
        for key, word in words:
            if self.words[key] == word:
                continue
            if (value := self._values.get(word, _UNKNOWN)) is _UNKNOWN:
                value = self._values[word] = self._value(key, word)
            if value is None:
                return None
            if key not in self.unused:
                changed[key] = value[0]
        tree = _with(self.config.tree, changed)
        if contradictions(tree):
            return None
        tops: dict[str, Words] = {}  # what changes below each top-level key
        for key, word in words:
            if key in changed:
                top = key.partition(".")[0]
                tops[top] = (*tops.get(top, ()), word)
        spelt = self._spelt | {top: self._text_of(top, words, tree) for top, words in tops.items()}
        return _config(self.config, tree, tops), _identity(spelt)

    def _text_of(self, top: str, words: Words, tree: Tree) -> str:
        """Return how the value of a top-level key is spelt; a grid has few of each."""
        if (text := self._texts.get((top, words))) is None:
            text = spell(tree[top])
            if len(self._texts) < MOST_TEXTS:
                self._texts[top, words] = text
        return text

    def _value(self, key: str, word: str) -> tuple[Any] | None:
        """Return the value that a word gives to its key, in a tuple; None if that is not simple."""
        try:
            override = with_number(word) or parse([word])[0]
            if override.key_or_group != key or any(True for _ in misuses(override, self.members, sweep=True)):
                return None
            if key in self.unused:
                return (None,)
            if key not in self._kinds:
                self._kinds[key] = kind_of(key, self.config.tree)
            kind = self._kinds[key]
            if kind is None or schema.is_path(kind) or "${" in word or "???" in word or not word.isascii():
                return None
            value = value_for(override, kind)
        except ConfigError:
            return None
        return (value,) if schema.fits(value, kind) else None


def has_simple_values(words: Sequence[str], keys: Sequence[str], composed: Tree) -> bool:
    """Return whether each key of a composed configuration has an effect on its own value alone.

    Args:
        words: All words of a point.
        keys: The keys of those that vary.
        composed: The configuration before its interpolations are resolved and words are applied.
    """
    typed = {word.partition("=")[0].lstrip("+") for word in words}
    if any("${" in word or "???" in word for word in words):
        return False
    if "loop.epochs" not in typed and any(key in BUDGETS for key in keys):
        return False
    return all(text == "${monitor}" and "monitor" not in keys for text in _interpolations(composed))


def identity_of(config: Config) -> str:
    """Return what two points have in common only if they are the same."""
    return _identity({key: spell(value) for key, value in config.tree.items()})


def _identity(spelt: dict[str, str]) -> str:
    return ",".join(f"{key}:{text}" for key, text in spelt.items())


def _interpolations(value: object) -> list[str]:
    """Return the texts of a tree that OmegaConf would resolve or report."""
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in _interpolations(item)]
    if isinstance(value, list):
        return [text for item in value for text in _interpolations(item)]
    return [value] if isinstance(value, str) and ("${" in value or value == "???") else []


def _with(tree: Tree, changed: dict[str, Any]) -> Tree:
    """Return a tree with other leaves; what does not change is shared."""
    new = dict(tree)
    for key, value in changed.items():
        node = new
        *path, leaf = key.split(".")
        for name in path:
            node[name] = dict(node[name])
            node = node[name]
        node[leaf] = value
    return new


def _config(before: Config, tree: Tree, tops: Iterable[str]) -> Config:
    """Return the Config of a checked tree, of which only some top-level keys differ from those of another."""
    fields = dict(vars(before), tree=tree)
    for name in tops:
        if name in SECTIONS:
            fields[name] = SECTIONS[name](**tree[name])
        elif name in knobs():
            fields[name] = tree[name]
        else:
            fields["parts"] = {**fields["parts"], name: tree[name]}
    return Config(**fields)
