"""The words of a run whose model is the encoder of an autoencoder, and an output layer. Imports no torch."""

from collections.abc import Sequence

from trainctl.settings.config import Tree
from trainctl.settings.spelling import spell

SAME = ("activation", "norm", "dropout")  # settings that the layers of both models have


def words_of(tree: Tree, overrides: Sequence[str]) -> list[str]:
    """Return the words with which ``model=mlp`` has the layers of a run's encoder; none for other runs or models.

    An autoencoder with convolutions has no counterpart: those of ``model=cnn`` have other strides.

    Args:
        tree: The configuration of the run.
        overrides: What the user has typed, which is not set again.

    >>> ae = {"model": {"name": "autoencoder", "channels": [], "hidden": [64], "bottleneck": 8, "norm": "none"}}
    >>> words_of(ae, ["model=mlp"]), words_of(ae, ["model=mlp", "model.hidden=[5]"]), words_of(ae, [])
    (['model.hidden=[64,8]', 'model.norm=none'], ['model.norm=none'], [])
    """
    model = tree["model"]
    if model["name"] != "autoencoder" or model.get("channels") or "model=mlp" not in overrides:
        return []
    typed = {word.partition("=")[0] for word in overrides}
    settings = {"hidden": [*model["hidden"], model["bottleneck"]]} | {key: model[key] for key in SAME if key in model}
    return [f"model.{key}={spell(value)}" for key, value in settings.items() if f"model.{key}" not in typed]


def brought(tree: Tree, overrides: Sequence[str]) -> set[str]:
    """Return the groups of a run that ``model=autoencoder`` has chosen with itself, if another model is typed.

    Args:
        tree: The configuration of the run.
        overrides: What the user has typed.

    >>> tree = {"model": {"name": "autoencoder"}}
    >>> brought(tree, ["model=mlp"]), brought(tree, ["seed=1"]), brought(tree, ["model=autoencoder"])
    ({'loss'}, set(), set())
    """
    models = [word for word in overrides if word.startswith("model=")]
    another = tree["model"]["name"] == "autoencoder" and models and models[-1] != "model=autoencoder"
    return {"loss"} if another else set()
