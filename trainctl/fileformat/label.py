"""Which texts are the same class or category: ``1`` and ``1.0``, ``True`` and ``true``. Imports no torch.

A file that was merged from several exports writes one class in several ways; a number has one value, however it is
written. Other texts are compared as they are.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
BOOLEANS = frozenset({"true", "false"})


def meaning(text: str) -> Hashable:
    """Return what equal labels have in common: the value of a number, the word of a boolean, or the text itself.

    >>> (
    ...     meaning("1.0") == meaning("1") == meaning("1e0"),
    ...     meaning("TRUE") == meaning("true"),
    ...     meaning("1") == meaning("one"),
    ... )
    (True, True, False)
    """
    if NUMBER.fullmatch(text):
        return Decimal(text)
    return (text.lower(),) if text.lower() in BOOLEANS else text


def distinct(texts: Iterable[str]) -> list[str]:
    """Return the distinct labels, sorted; of several spellings of a label the shortest, or the most frequent of those.

    >>> distinct(["1.0", "1", "0", "0.0", "b"]), distinct(["1.0", "2.0"]), distinct(["true", "True", "true", "no"])
    (['0', '1', 'b'], ['1.0', '2.0'], ['no', 'true'])
    """
    counts = Counter(texts)
    spellings: dict[Hashable, str] = {}
    for text in sorted(counts, key=lambda text: (len(text), -counts[text], text)):
        spellings.setdefault(meaning(text), text)
    return sorted(spellings.values())


class Codes:
    """The number of each label, by any of its spellings.

    Args:
        names: The labels, in their order. Labels that an earlier version took for different ones stay different.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.exact = {name: code for code, name in enumerate(names)}
        self.meanings = {meaning(name): code for code, name in reversed([*enumerate(names)])}

    def get(self, text: str) -> int | None:
        """Return the number of a label; None if it is unknown."""
        code = self.exact.get(text)
        return self.meanings.get(meaning(text)) if code is None else code
