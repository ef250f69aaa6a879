"""Check what a caller passes as words: texts and paths, or data. Imports no torch."""

import os
from collections.abc import Mapping, Sequence

from trainctl.errors import ConfigError

# What to do with data that are in memory, by the type's method that tells it.
IN_MEMORY = {
    "to_csv": "write it to a file first, with to_csv('rows.csv', index=False), and give 'rows.csv'",
    "write_csv": "write it to a file first, with write_csv('rows.csv'), and give 'rows.csv'",
    "dtype": "write arrays to a file first, with numpy.savez('rows.npz', inputs=..., targets=...), and give 'rows.npz'",
    "items": "give it as settings={'optimizer.lr': 0.1}",
}


def is_data(word: object) -> bool:
    """Return whether a value is rows: an array, a data frame, a mapping of columns, or a list of records.

    >>> is_data({"x": [1, 2]}), is_data([{"x": 1}]), is_data({"optimizer.lr": 0.1}), is_data("rows.csv")
    (True, True, False, False)
    """
    if isinstance(word, Mapping):
        return any(_is_column(values) for values in word.values())
    if isinstance(word, list | tuple):
        return bool(word) and all(isinstance(row, Mapping) for row in word)
    return hasattr(word, "__array__") or callable(getattr(word, "to_dict", None))


def _is_column(values: object) -> bool:
    return isinstance(values, list | tuple) or hasattr(values, "__array__")


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
            hint = (
                "; data go first: train(DATA, 'model=mlp', target='COLUMN')"
                if function == "train" and is_data(word)
                else next((f"; {hint}" for name, hint in IN_MEMORY.items() if hasattr(word, name)), "")
            )
            raise ConfigError(
                f"{function}() takes words such as 'optimizer=adam' and paths, not a value of type {type(word).__name__}{hint}"
            )
    return [str(os.fspath(word)) for word in words if isinstance(word, str | os.PathLike)]
