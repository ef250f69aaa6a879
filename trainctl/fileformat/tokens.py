"""Convert texts to tokens, and tokens to ids. Imports no torch."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np

PADDING, UNKNOWN = "<pad>", "<unknown>"  # ids 0 and 1
SPECIAL = (PADDING, UNKNOWN)
# How texts are normalized. legacy: as the first version did, not at all; a combining mark is a token of its own there.
FORMS = ("nfc", "nfkc", "none", "legacy")
LEGACY_WORD = re.compile(r"\w+|[^\w\s]")
JOINERS = "\u200c\u200d"  # zero width non-joiner and joiner, between letters of a word or parts of an emoji
SKIN_TONES = "\U0001f3fb-\U0001f3ff"
FLAG = "[\U0001f1e6-\U0001f1ff]{2}"  # two letters that are shown as one flag


def split(text: str, level: str, *, lowercase: bool, normalize: str = "nfc") -> list[str]:
    """Split a text into characters, or into words and punctuation marks.

    A word is a sequence of letters, digits and underscores with their combining marks. A sign keeps its marks, and an emoji
    its skin tone and the emoji that are joined to it.

    Args:
        text: The text.
        level: ``characters`` or ``words``.
        lowercase: Whether it is converted to lowercase first.
        normalize: The Unicode normalization form, one of ``FORMS``.

    >>> split("Don't panic!", "words", lowercase=True), split("Ab", "characters", lowercase=False)
    (['don', "'", 't', 'panic', '!'], ['A', 'b'])
    """
    text = text.lower() if lowercase else text
    if normalize in ("nfc", "nfkc"):
        text = unicodedata.normalize("NFC" if normalize == "nfc" else "NFKC", text)
    if level == "characters":
        return list(text)
    return pattern(normalize).findall(text)


def pattern(normalize: str) -> re.Pattern[str]:
    """Return the pattern that finds the words and punctuation marks of a normalized text."""
    return LEGACY_WORD if normalize == "legacy" else _word()


@cache
def _word() -> re.Pattern[str]:
    """Return the pattern of a token; made when it is needed, because it takes some hundredths of a second."""
    extends = f"{_marks()}{JOINERS}{SKIN_TONES}"
    sign = rf"[^\w\s][{extends}]*"
    joined = rf"{sign}(?:(?<=\u200d){sign})*"
    return re.compile(rf"\w[\w{extends}]*|{FLAG}|{joined}")


def _marks() -> str:
    """Return the combining marks, as ranges of a character class; no mark lies elsewhere."""
    points = [
        point
        for block in (range(0x300, 0x20000), range(0xE0100, 0xE01F0))
        for point in block
        if unicodedata.category(chr(point))[0] == "M"
    ]
    known = frozenset(points)
    starts = [point for point in points if point - 1 not in known]
    ends = [point for point in points if point + 1 not in known]
    return "".join(f"\\U{start:08x}-\\U{end:08x}" for start, end in zip(starts, ends, strict=True))


def vocabulary(texts: Iterable[Sequence[str]], most: int | None, least: int) -> tuple[str, ...]:
    """Return the padding token, the unknown token, and the others by decreasing frequency, ties in alphabetical order.

    Args:
        texts: The tokens of each text.
        most: Maximum number of tokens, including the two special ones; None for all.
        least: Minimum number of occurrences of a token.

    >>> vocabulary([["b", "a"], ["a"]], None, 1)
    ('<pad>', '<unknown>', 'a', 'b')
    """
    counts = Counter(token for tokens in texts for token in tokens)
    kept = [token for token, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= least]
    kept = [token for token in kept if token not in SPECIAL]
    return (*SPECIAL, *kept)[:most]


def ids(tokens: Sequence[str], vocabulary: Mapping[str, int], length: int) -> np.ndarray:
    """Return the ids of the first ``length`` tokens as int64 ``(length,)``, padded with 0; unknown tokens have id 1."""
    row = np.zeros(length, dtype=np.int64)
    for position, token in enumerate(tokens[:length]):
        row[position] = vocabulary.get(token, 1)
    return row
