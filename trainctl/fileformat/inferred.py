"""What was inferred from a user's files -> lines for the block at the start of a run. Imports no torch.

A data set fills ``Dataset.inferred`` with lines, each a label of one word and a text, in the order in which they are
shown; :func:`trainctl.data.rows.block` adds the task. A line says what a thing was taken for, and the key that changes it.
"""

from collections.abc import Sequence

from trainctl.wording import listed

InferredLine = tuple[str, str]


def classes_line(names: Sequence[str]) -> str:
    """Return how many classes there are, which, and of two the positive one.

    >>> classes_line(["no", "yes"])
    '2 classes: no, yes (the positive one is yes)'
    """
    positive = f" (the positive one is {names[1]})" if len(names) == 2 else ""
    return f"{len(names):,} classes: {listed(names)}{positive}"
