"""Text -> tokens -> ids. Imports no torch."""

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
    """Return padding, the unknown token, and the tokens by decreasing frequency, equally frequent ones sorted.

    Args:
        texts: The tokens of each text.
        most: How many tokens to keep, including the two special ones; None: all.
        least: How often a token must occur to be kept.

    >>> vocabulary([["b", "a"], ["a"]], None, 1)
    ('<pad>', '<unknown>', 'a', 'b')
    """
    counts = Counter(token for tokens in texts for token in tokens)
    kept = [token for token, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= least]
    kept = [token for token in kept if token not in SPECIAL]
    return (*SPECIAL, *kept)[:most]


def ids(tokens: Sequence[str], vocabulary: Mapping[str, int], length: int) -> np.ndarray:
    """Return the ids of the first tokens of a text ``(length,)`` as int64, padded with 0; 1 for an unknown token."""
    row = np.zeros(length, dtype=np.int64)
    for position, token in enumerate(tokens[:length]):
        row[position] = vocabulary.get(token, 1)
    return row
