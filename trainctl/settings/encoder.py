"""The words of a run whose model is the encoder of an autoencoder, and an output layer. Imports no torch."""

from collections.abc import Sequence

from trainctl.errors import ConfigError
from trainctl.settings.config import Tree
from trainctl.settings.spelling import spell

SAME = ("activation", "norm", "dropout")  # settings that the layers of both models have


def words_of(tree: Tree, overrides: Sequence[str]) -> list[str]:
    """Return the words with which ``model=mlp`` has the layers of a run's encoder; none for other runs or models.

    Args:
        tree: The configuration of the run.
        overrides: What the user has typed, which is not set again.

    Raises:
        ConfigError: If the run is an autoencoder with convolutions: no other model has convolutions of stride 2, and its
            weights in layers with other strides, whose shapes are equal, would compute something else.

    >>> ae = {"model": {"name": "autoencoder", "channels": [], "hidden": [64], "bottleneck": 8, "norm": "none"}}
    >>> words_of(ae, ["model=mlp"]), words_of(ae, ["model=mlp", "model.hidden=[5]"]), words_of(ae, [])
    (['model.hidden=[64,8]', 'model.norm=none'], ['model.norm=none'], [])
    """
    model = tree["model"]
    models = [word for word in overrides if word.startswith("model=")]
    if model["name"] != "autoencoder" or not models or models[-1] == "model=autoencoder":
        return []
    require_dense(model, models[-1].partition("=")[2])
    if models[-1] != "model=mlp":
        return []
    typed = {word.partition("=")[0] for word in overrides}
    settings = {"hidden": [*model["hidden"], model["bottleneck"]]} | {key: model[key] for key in SAME if key in model}
    return [f"model.{key}={spell(value)}" for key, value in settings.items() if f"model.{key}" not in typed]


def require_dense(before: Tree, name: str) -> None:
    """Check that a model may start from the weights of another run, whose convolutions other models do not have.

    Args:
        before: The settings of the other run's model.
        name: The new model.

    Raises:
        ConfigError: If the other run is an autoencoder with convolutions, and the new model is none.
    """
    if before["name"] == "autoencoder" != name and before.get("channels"):
        raise ConfigError(
            f"model={name}: the encoder of this run has convolutions of stride 2 (model.channels={spell(before['channels'])}),"
            " which no other model has",
            "to start a classifier from an encoder, train the autoencoder with dense layers: model.channels=[]",
            "to use this encoder as it is, train on its codes: trainctl predict RUN INPUT what=code",
        )


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
