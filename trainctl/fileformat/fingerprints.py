"""Compare fingerprints of data sets: whether they are known to be those of different data. Imports no torch."""

from collections.abc import Iterable

# Begins the fingerprint of data that stay on disk: made of hashes of blocks, it says nothing about one of rows in memory.
BLOCKS = "blocks:"
DIGITS = 12  # of a fingerprint in a message


def differ(fingerprints: Iterable[str | None]) -> bool:
    """Return whether two of some fingerprints are of the same kind, and different; None is unknown.

    >>> differ(["ab", "ab", None]), differ(["ab", "cd"]), differ(["ab", "blocks:cd"])
    (False, True, False)
    """
    known = {one for one in fingerprints if one}
    return any(len({one for one in known if one.startswith(BLOCKS) is kind}) > 1 for kind in (False, True))


def in_other_form(one: str, other: str) -> bool:
    """Return whether two fingerprints cannot be compared, because one of them is of rows that stay on disk.

    >>> in_other_form("ab", "blocks:ab"), in_other_form("ab", "cd")
    (True, False)
    """
    return one.startswith(BLOCKS) is not other.startswith(BLOCKS)


def shown(fingerprint: str) -> str:
    """Return the first digits of a fingerprint, for a message.

    >>> shown("blocks:0123456789abcdef")
    '0123456789ab'
    """
    return fingerprint.removeprefix(BLOCKS)[:DIGITS]
