"""Translate the old names of renamed settings, which saved configurations still contain."""

from collections.abc import Mapping

from trainctl.settings.config import Tree

RENAMED = {"loop.capture": "loop.record"}


def hint(key: str) -> str:
    """Return the end of an error message about an old key; empty if the key is not an old name.

    >>> hint("loop.capture"), hint("loop.epochs")
    ('; it is now called loop.record', '')
    """
    return f"; it is now called {RENAMED[key]}" if key in RENAMED else ""


def with_new_names(tree: Tree) -> Tree:
    """Return a saved configuration with its settings under their current names.

    >>> with_new_names({"loop": {"epochs": 3, "capture": "never"}})
    {'loop': {'epochs': 3, 'record': 'never'}}
    """
    tree = dict(tree)
    for old, new in RENAMED.items():
        section, _, leaf = old.partition(".")
        if isinstance(settings := tree.get(section), Mapping) and leaf in settings:
            rest = {key: value for key, value in settings.items() if key != leaf}
            tree[section] = rest | {new.partition(".")[2]: settings[leaf]}
    return tree
