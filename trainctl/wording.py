"""Parts of messages: the word that was probably meant, lists that are cut short, commands. Imports nothing of trainctl."""

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST_LINE = 2000  # characters of a message that quotes what was typed
SHOWN = 5  # items of a list that a message names
LONGEST_WORD = 200  # characters; comparing longer ones takes seconds, and nobody misspells them
# Where a password may be: up to the last @ of the line, because one that is not percent-encoded may contain anything.
# The @ of the form that messages name is none.
PASSWORDS = (
    (re.compile(r"(\w[\w+.-]*://[^\s:/@]*):(?!\*\*\*@).*(?!(?<=postgresql://USER)@HOST/DATABASE)@"), r"\1:***@"),
    (re.compile(r"(\bstorage=)(?!\w[\w+.-]*://|\*\*\*)\S*@"), r"\1***@"),
    (re.compile(r"((?:ssl)?password=)(?!\*\*\*).*", re.IGNORECASE), r"\1***"),
)


def closest(word: str, options: Iterable[str]) -> str | None:
    """Return the option that is most similar to a word, in any case; None if none is.

    Letters that are exchanged make the best match; the beginning of one option alone is a match if nothing else is.

    >>> closest("Adma", ["adam", "sgd"]), closest("x", ["adam", "sgd"]), closest("prot", ["root", "port"])
    ('adam', None, 'port')
    >>> closest("csv", ["csv_with_missing_values", "csv_and_more"]), closest("csv_with", ["csv_with_missing_values"])
    (None, 'csv_with_missing_values')
    """
    options = [option for option in options if len(option) <= LONGEST_WORD]
    if len(word) > LONGEST_WORD:
        return None
    close = get_close_matches(word, options, n=1) or get_close_matches(word.lower(), options, n=1)
    if exchanged := [option for option in options if sorted(option) == sorted(word)]:
        return exchanged[0]
    begun = [option for option in options if len(word) > 2 and option.startswith(word)]
    return close[0] if close else begun[0] if len(begun) == 1 else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return the end of a message about a word that is not one of the options; empty if none is similar.

    >>> did_you_mean("adma", ["adam", "sgd"]), did_you_mean("x", ["adam", "sgd"])
    ('; did you mean adam?', '')
    """
    close = closest(word, options)
    return "" if close is None else f"; did you mean {close}?"


def listed(items: Sequence[str], separator: str = ", ", most: int = SHOWN) -> str:
    """Join the first items of a list, and say how many more there are.

    >>> listed(["a", "b"]), listed("abcdefg", most=3), listed("abcd", "; ", most=3)
    ('a, b', 'a, b, c and 4 more', 'a; b; c; and 1 more')
    """
    if len(items) <= most:
        return separator.join(items)
    end = separator if separator.strip() == ";" else " "
    return f"{separator.join(items[:most])}{end}and {len(items) - most:,} more"


def amount(count: float, noun: str) -> str:
    """Return a number with a noun, in the plural unless it is one.

    >>> amount(1, "training row"), amount(1200, "trial"), amount(2, "class"), amount(0, "entry"), amount(0.5, "epoch")
    ('1 training row', '1,200 trials', '2 classes', '0 entries', '0.5 epochs')
    """
    number = f"{count:g}" if count != int(count) else f"{int(count):,}"
    if count == 1:
        return f"{number} {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x', 'tch', 'sh')) else 's'}"


def agree(count: int, singular: str, plural: str) -> str:
    """Return the word that agrees with a number.

    >>> agree(1, "is", "are"), agree(2, "has", "have")
    ('is', 'have')
    """
    return singular if count == 1 else plural


def shortened(text: str, most: int = LONGEST_LINE) -> str:
    """Leave out the middle of a long text.

    >>> shortened("a" * 30, 10)
    'aaaa...aaa'
    """
    before = (most - 2) // 2
    return text if len(text) <= most else f"{text[:before]}...{text[len(text) - (most - 3 - before) :]}"


def typed(key: str, value: str | Sequence[str]) -> str:
    r"""Return a setting as it is typed in a shell; in quotes only where a name in it requires them.

    >>> print(typed("dataset.drop", ["Id"]), typed("dataset.drop", ["a b", "c,d"]), typed("dataset.time", "my day"))
    dataset.drop=[Id] 'dataset.drop=[a b,"c,d"]' 'dataset.time=my day'
    """
    text = value
    if not isinstance(value, str):
        text = f"[{','.join(map(spell_item, value))}]"
        text = text if '"' in text else text.replace("'", '"')  # the shell's quotes are single
    plain = all(character.isalnum() or character in "_@%+=:,./-[]" for character in text)
    return f"{key}={text}" if plain else shell_words([f"{key}={text}"])


def spell_item(text: str) -> str:
    """Return a text as an item of a list: in quotes only where it would be read as something else."""
    return text if text == text.strip() != "" and not set(text) & set("[](){},'\"") else quoted(text)


def quoted(text: str) -> str:
    r"""Return a text in quotes, which Hydra's grammar and ``settings.text.unquoted`` read alike.

    >>> quoted("größe"), quoted("it's")
    ("'größe'", '"it\'s"')
    """
    quote = '"' if "'" in text and '"' not in text else "'"
    inside = re.sub(
        r"(\\*)(" + quote + r"|\Z)",
        lambda found: "\\" * (2 * len(found[1])) + ("\\" + quote if found[2] else ""),
        text,
    )
    return f"{quote}{inside}{quote}"


def shell_words(words: Iterable[str]) -> str:
    r"""Join words to a command that a shell reads as these words, in one line and without control characters.

    >>> print(shell_words(["trainctl", "a b", "it's\n\x1b", "\udcff"]))
    trainctl 'a b' $'it\'s\n\033' $'\377'
    """
    return " ".join(shlex.quote(word) if word.isprintable() else f"$'{_escaped(word)}'" for word in words)


def _escaped(word: str) -> str:
    """Write what cannot be printed as octal bytes, which bash, zsh and ksh read between ``$'`` and ``'``."""
    plain = {"\n": "\\n", "\t": "\\t", "\\": "\\\\", "'": "\\'"}
    return "".join(
        plain.get(c) or (c if c.isprintable() else "".join(f"\\{byte:03o}" for byte in os.fsencode(c))) for c in word
    )


def redacted(text: str) -> str:
    """Return a text without the passwords of the URLs in it, also those of URLs that cannot be read.

    >>> redacted("postgresql://me:secret@db/sweeps: not found"), redacted("a@b")
    ('postgresql://me:***@db/sweeps: not found', 'a@b')
    >>> redacted("sweep.storage=postgresql//me:p@ss@db/x?password=secret")
    'sweep.storage=***@db/x?password=***'
    >>> redacted("redis://db: expected postgresql://USER@HOST/DATABASE")
    'redis://db: expected postgresql://USER@HOST/DATABASE'
    """
    for pattern, replacement in PASSWORDS:
        text = pattern.sub(replacement, text)
    return text
