"""Convert texts to tokens, and tokens to ids. Imports no torch."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

PADDING, UNKNOWN = "<pad>", "<unknown>"  # ids 0 and 1
SPECIAL = (PADDING, UNKNOWN)
WORD = re.compile(r"\w+|[^\w\s]")


def split(text: str, level: str, *, lowercase: bool) -> list[str]:
    """Split a text into characters, or into words and punctuation marks.

    >>> split("Don't panic!", "words", lowercase=True), split("Ab", "characters", lowercase=False)
    (['don', "'", 't', 'panic', '!'], ['A', 'b'])
    """
    text = text.lower() if lowercase else text
    return WORD.findall(text) if level == "words" else list(text)


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
