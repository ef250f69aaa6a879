"""Text -> tokens -> ids. Imports no torch."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

PADDING, UNKNOWN = "<pad>", "<unknown>"  # ids 0 and 1
SPECIAL = (PADDING, UNKNOWN)
WORD = re.compile(r"\w+|[^\w\s]")


def split(text: str, level: str, *, lowercase: bool) -> list[str]:
    """Split a text into characters, or into words and signs.

    >>> split("Don't panic!", "words", lowercase=True), split("Ab", "characters", lowercase=False)
    (['don', "'", 't', 'panic', '!'], ['A', 'b'])
    """
    text = text.lower() if lowercase else text
    return WORD.findall(text) if level == "words" else list(text)


def vocabulary(texts: Iterable[Sequence[str]], most: int | None, least: int) -> tuple[str, ...]:
    """Return padding, the unknown token, and the tokens by falling frequency, equally frequent ones in their order.

    Args:
        texts: The tokens of each text.
        most: How many tokens to keep, the two special ones among them; None: all.
        least: How often a token has to come to be kept.

    >>> vocabulary([["b", "a"], ["a"]], None, 1)
    ('<pad>', '<unknown>', 'a', 'b')
    """
    counts = Counter(token for tokens in texts for token in tokens)
    kept = [token for token, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= least]
    kept = [token for token in kept if token not in SPECIAL]
    return (*SPECIAL, *kept)[:most]


def ids(tokens: Sequence[str], known: Mapping[str, int], length: int) -> np.ndarray:
    """Return the ids of a text's first tokens ``(length,)`` as int64, padded with 0; 1 for a token not known."""
    found = np.zeros(length, dtype=np.int64)
    for place, token in enumerate(tokens[:length]):
        found[place] = known.get(token, 1)
    return found
