"""The words of runs that are made smaller than an existing one: sparser, or with fewer units. Imports no torch."""

from collections.abc import Mapping
from typing import Any

from trainctl.errors import ConfigError
from trainctl.settings.config import Tree, leaves
from trainctl.settings.spelling import spell

# The settings of models that are widths of hidden layers; the code of an autoencoder and embeddings keep theirs.
HIDDEN = ("hidden", "channels", "hidden_size", "width")
GRADUAL_END = 0.75  # of the run's steps; gradual pruning leaves the rest for tuning
DECIDE_ZEROS = ("none", "prune", "rigl")  # what prune takes the place of


def remaining(amount: float, done: float, rounds: int) -> list[float]:
    """Return the fraction of weights that remain after each round, a constant fraction of those before.

    Args:
        amount: Fraction of weights that are 0 after the last round.
        done: Fraction that is 0 before the first one.
        rounds: The number of rounds.

    >>> [round(part, 3) for part in remaining(0.9, 0.0, 2)]
    [0.316, 0.1]
    """
    before, after = 1 - done, 1 - amount
    return [before * (after / before) ** (index / rounds) for index in range(1, rounds)] + [after]


def sparser(tree: Tree, sparsity: float, end: float) -> list[str]:
    """Return the words that select compress=prune in addition to what else a run's compression does.

    Args:
        tree: The run's configuration.
        sparsity: Fraction of weights that are 0.
        end: When it is reached, as a fraction of the run's steps; 0 prunes before the first step.
    """
    before = tree.get("compress", {})
    others = {label: one for label, one in before.items() if one.get("name") not in DECIDE_ZEROS}
    scope = before.get("prune", {}).get("scope", "global")
    return [
        f"compress=[{','.join(['prune', *others])}]",
        *(f"compress.{key}={spell(value)}" for key, value in leaves(others).items() if not key.endswith(".name")),
        f"compress.prune.sparsity={sparsity:.6g}",
        f"compress.prune.end={end:g}",
        *([f"compress.prune.scope={scope}"] if scope != "global" else []),
    ]


def narrower(model: Mapping[str, Any], part: float) -> list[str]:
    """Return the words that set the widths of a model's hidden layers to a part of what they are, at least 1.

    Args:
        model: The settings of the model.
        part: Fraction of the units that remain.

    Raises:
        ConfigError: If it has no hidden layers.

    >>> narrower({"name": "mlp", "hidden": [300, 1]}, 0.1)
    ['model.hidden=[30,1]']
    """
    found = [key for key in HIDDEN if model.get(key) and not isinstance(model[key], str)]
    if not found:
        raise ConfigError(f"scope=units: model={model['name']} has no hidden units whose number is a setting")
    return [f"model.{key}={spell(_part(model[key], part, factor=key == 'width'))}" for key in found]


def _part(width: Any, part: float, *, factor: bool) -> Any:
    if isinstance(width, list):
        return [_part(one, part, factor=factor) for one in width]
    return width * part if factor else max(1, round(width * part))
