"""Start a model from weights that others have trained."""

import warnings
from collections.abc import Mapping

from torch import nn

from trainctl.components.model.base import Pretrained
from trainctl.data.schema import Schema
from trainctl.errors import Advice, ConfigError
from trainctl.run.transfer import LayerStart
from trainctl.settings.config import Config
from trainctl.wording import listed


def start(model: nn.Module, config: Config, schema: Schema) -> list[LayerStart]:
    """Load a new model's pretrained weights, if it has any; return how its parts start.

    A model that starts from a run (``init=run``) gets the weights of that run instead.

    Raises:
        ConfigError: If the output layer is kept, but the data have other classes.
        TrainctlError: If the weights cannot be had, or are those of another model.
    """
    if not isinstance(model, Pretrained) or config.parts["init"]["name"] == "run":
        return []
    if (scale := config.parts["scale"]["name"]) != "pixels":
        warnings.warn(
            f"scale={scale}: model={config.parts['model']['name']} expects pixels in 0..1: leave out scale={scale}, or use"
            " scale=pixels",
            Advice,
            stacklevel=2,
        )
    if not model.wants_weights:
        return []
    if model.classes and list(model.classes) != list(schema.class_names):
        raise ConfigError(
            f"model.head=kept: the classes of the weights ({listed(model.classes, most=3)}) are not"
            f" those of the data ({listed(schema.class_names, most=3)}): use model.head=new"
        )
    return [LayerStart(entry.layer, entry.state, entry.why) for entry in model.load()]


def facts(model: nn.Module) -> Mapping[str, str]:
    """Return what `run.json` records of a model's pretrained weights; empty if it has none."""
    return model.facts if isinstance(model, Pretrained) else {}
