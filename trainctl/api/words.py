"""Check what a caller passes as words: texts and paths. Imports no torch."""

import os
from collections.abc import Sequence

from trainctl.errors import ConfigError

# What to do with data that are in memory, by the type's method that tells it.
IN_MEMORY = {
    "to_csv": "write it to a file first, with to_csv('rows.csv', index=False), and give 'rows.csv'",
    "write_csv": "write it to a file first, with write_csv('rows.csv'), and give 'rows.csv'",
    "dtype": "write arrays to a file first, with numpy.savez('rows.npz', inputs=..., targets=...), and give 'rows.npz'",
    "items": "give it as settings={'optimizer.lr': 0.1}",
}


def texts(words: Sequence[object], function: str) -> list[str]:
    """Return words as texts.

    Raises:
        ConfigError: If one is neither a text nor a path; says what to do with data in memory.

    >>> from pathlib import PurePosixPath
    >>> texts(["optimizer=adam", PurePosixPath("rows.csv")], "train")
    ['optimizer=adam', 'rows.csv']
    """
    for word in words:
        if not isinstance(word, str | os.PathLike) or isinstance(os.fspath(word), bytes):
            hint = next((f"; {hint}" for name, hint in IN_MEMORY.items() if hasattr(word, name)), "")
            raise ConfigError(
                f"{function}() takes words such as 'optimizer=adam' and paths, not a value of type {type(word).__name__}{hint}"
            )
    return [str(os.fspath(word)) for word in words if isinstance(word, str | os.PathLike)]
