"""What a model that learns from a finished run does not take over from that run's settings. Imports no torch."""

from collections.abc import Sequence

# How the teacher came to be what it is: pruned, rounded, started from another run, trained layer by layer.
OWN = ("compress", "freeze", "layer_decay", "head_lr_factor")


def left_out(words: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return the words of a teacher that are not its student's: the choice of a group, or a single setting.

    What the user has typed, also for a setting of the group, is the student's.

    Args:
        words: Those that compose the teacher's configuration.
        overrides: What the user has typed.

    >>> words = ["freeze=body", "init=run", "compress=[prune]", "compress.prune.sparsity=0.9", "layer_decay=0.8"]
    >>> left_out(words, ["compress.prune.sparsity=0.5"])
    ['freeze=body', 'init=run', 'layer_decay=0.8']
    """
    typed = {_first(word) for word in overrides}
    own = [word for word in words if word.partition("=")[0] in OWN or word == "init=run"]
    return [word for word in own if _first(word) not in typed]


def notes(words: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return what the user is to know of settings of the teacher, a line each; the arguments are those of :func:`left_out`."""
    found = []
    if own := left_out(words, overrides):
        found.append(f"not taken over from the teacher, whose own they are: {', '.join(own)}")
    labels = next((word for word in words if word.startswith("split.labels=")), None)
    if labels and not any(word.startswith("split.labels=") for word in overrides):
        found.append(f"{labels}, as for the teacher: all other training rows are learned from the teacher alone")
    return found


def _first(word: str) -> str:
    return word.partition("=")[0].partition(".")[0]
