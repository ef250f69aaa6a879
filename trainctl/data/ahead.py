"""Load things in a thread, one ahead of who uses them: at most two are in memory, and one is being loaded."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Key = TypeVar("Key")
Loaded = TypeVar("Loaded")


def read_ahead(keys: Iterable[Key], load: Callable[[Key], Loaded]) -> Iterator[Loaded]:
    """Yield what ``load`` returns for each key, in order; the next one is loaded while this one is used.

    An error of ``load`` is raised where its result would have been. Whoever stops early closes the iterator, or drops it:
    then nothing more is loaded.

    >>> list(read_ahead([1, 2, 3], lambda key: key * key))
    [1, 4, 9]
    """
    keys = iter(keys)
    first = next(keys, None)
    if first is None:
        return
    reader = ThreadPoolExecutor(1, thread_name_prefix="rows")
    try:
        pending = reader.submit(load, first)
        for key in keys:
            found = pending.result()
            pending = reader.submit(load, key)
            yield found
            del found  # so that no more than two exist while the next one is loaded
        yield pending.result()
    finally:
        reader.shutdown(wait=True, cancel_futures=True)
