"""Start a model from the weights of another run: layer by layer from the input, in other widths and depths.

Source: J. Yosinski et al., How transferable are features in deep neural networks?, NeurIPS 2014; T. Chen, I. Goodfellow,
J. Shlens, Net2Net, ICLR 2016.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from trainctl.components.compress.int8 import without_ranges
from trainctl.data.inherit import same_targets
from trainctl.data.schema import Schema
from trainctl.errors import Advice, CheckpointError, ConfigError
from trainctl.run import columns, deepen
from trainctl.run.layers import Layer, layers
from trainctl.run.model import bare_model
from trainctl.run.parent import Parent
from trainctl.run.resize import resized
from trainctl.run.units import Structure, describe
from trainctl.settings.config import Config, Tree
from trainctl.settings.smaller import HIDDEN
from trainctl.settings.spelling import spell
from trainctl.wording import amount, listed, shell_words

# Settings of models that change shapes, which are compared layer by layer, or only the training.
HARMLESS = frozenset(
    {"name", "depth", "layers", "bidirectional", "cell", "bottleneck", "embedding_size", "kernel_size", "architecture"}
    | {"dropout", "hidden_dropout", "weights", "head"}
)
State = Literal["taken", "resized", "new"]
Examples = Callable[[], Tensor]


@dataclass(frozen=True)
class LayerStart:
    """How a layer of the new model starts.

    Args:
        layer: Its path in the model.
        state: Whether its weights were taken as they are, taken and resized, or are new.
        why: The shapes, or why it is new.
    """

    layer: str
    state: State
    why: str


@dataclass(frozen=True)
class Offer:
    """The weights that the other run has for a model, in its shapes where that was possible.

    Args:
        weights: By the names of the new model's state.
        shapes: What shape each had in the other run.
        stopped: The first layer for which there is none, because it or one before it differs; empty if layers correspond.
        why: In what that layer differs; empty if the other run has no such layer.
        identities: The layers that the other run does not have, and that pass on what they get.
    """

    weights: Mapping[str, Tensor]
    shapes: Mapping[str, torch.Size]
    stopped: str = ""
    why: str = ""
    identities: frozenset[str] = frozenset()


@torch.no_grad()
def start(
    model: nn.Module, config: Config, schema: Schema, parent: Parent, examples: Examples, *, body_only: bool = False
) -> list[LayerStart]:
    """Load the weights of a parent into a new model, as far as they fit.

    Args:
        model: The new model; the layers that are not loaded keep their weights.
        config: The new run's configuration.
        schema: The schema of the new run's data.
        parent: The run to start from.
        examples: Returns training rows as the new model receives them.
        body_only: Whether the output layer stays new in any case.

    Returns:
        How each layer starts, from the input to the output.

    Raises:
        CheckpointError: If no layer fits.
        ConfigError: If the model is to be wider or deeper, and its outputs could not stay the same.
    """
    own = model.state_dict()
    parent = replace(parent, model=without_ranges(parent.model))
    offer = _offer(model, config, schema, parent, examples)
    weights, how = columns.matched(offer.weights, own, layers(model)[0].name, schema, parent)
    result: list[LayerStart] = []
    for number, layer in enumerate(layers(model)):
        last = number == len(layers(model)) - 1
        reason = _why_new_outputs(schema, parent, body_only) if last else ""
        entry = _load(layer, own, weights, offer, reason)
        if not number and how and entry.state != "new":
            entry = replace(entry, why=f"{entry.why}; {how}")
        result.append(entry)
    if all(entry.state == "new" for entry in result):
        reasons = dict.fromkeys(f"{entry.layer}: {entry.why}" for entry in result)
        lines = [f"{parent.name}: none of its weights fit this model: {'; '.join(list(reasons)[:3])}"]
        if (parent.config.parts["model"]["name"], config.parts["model"]["name"]) == ("autoencoder", "mlp"):
            command = shell_words(["trainctl", "finetune", parent.path, "model=mlp"])
            lines.append(f"to take over the layers of its encoder: {command}")
        raise CheckpointError(*lines)
    model.load_state_dict(own)
    return result


def advise(config: Config, parent: Parent) -> None:
    """Warn of settings with which a model computes something else than its parent did with the same weights."""
    if found := otherwise(parent.config.parts["model"], config.parts["model"]):
        before, after = zip(*found, strict=True)
        warnings.warn(
            f"the weights of {parent.name} were trained with {listed(before)}, and this model has {listed(after)}: it does not"
            " compute the same when it starts",
            Advice,
            stacklevel=2,
        )


def otherwise(before: Tree, after: Tree) -> list[tuple[str, str]]:
    """Return the settings with which two models compute different outputs from the same weights, as both have them typed.

    >>> otherwise({"name": "mlp", "hidden": [9], "norm": "layer"}, {"name": "mlp", "hidden": [8], "norm": "group"})
    [('model.norm=layer', 'model.norm=group')]
    """
    return [
        (f"model.{key}={spell(before[key])}", f"model.{key}={spell(after[key])}")
        for key in before
        if key not in (*HIDDEN, *HARMLESS) and key in after and before[key] != after[key]
    ]


def _load(layer: Layer, own: dict[str, Tensor], weights: Mapping[str, Tensor], offer: Offer, reason: str) -> LayerStart:
    """Put the weights of a layer into the state of the new model, if all of them fit and nothing speaks against it."""
    for name in () if reason else layer.tensors:
        if name not in weights:
            differs = (
                offer.why if offer.why and layer.name == offer.stopped else f"layers differ from {offer.stopped} on"
            )
            reason = differs if offer.stopped else f"{name} is not in the other run"
        elif weights[name].shape != own[name].shape:
            reason = f"{name} has shape {_shape(weights[name])} there, {_shape(own[name])} here"
        if reason:
            break
    if reason:
        return LayerStart(layer.name, "new", reason)
    changed = [name for name in layer.tensors if offer.shapes[name] != own[name].shape]
    for name in layer.tensors:
        own[name] = weights[name].to(own[name].device, own[name].dtype)
    if layer.name in offer.identities:
        return LayerStart(layer.name, "new", "starts as the identity")
    if not changed:
        return LayerStart(layer.name, "taken", _shape(own[layer.tensors[0]]))
    first = changed[0]
    return LayerStart(layer.name, "resized", f"{'x'.join(map(str, offer.shapes[first]))} -> {_shape(own[first])}")


def _offer(model: nn.Module, config: Config, schema: Schema, parent: Parent, examples: Examples) -> Offer:
    """Return the parent's weights for a new model, in its widths where the units of both are known."""
    before, old_model = parent, _built(parent.config, parent.schema)
    if {key: value.shape for key, value in old_model.state_dict().items()} != {
        key: value.shape for key, value in parent.model.items()
    }:
        raise CheckpointError(f"{parent.name}: its weights do not match its configuration")
    if parent.config.parts["model"]["name"] != config.parts["model"]["name"]:
        return _by_layers(model, old_model, parent, schema)
    identities: frozenset[str] = frozenset()
    if deeper := deepen.deeper(before, config, examples, _built):
        shallow = len(layers(old_model))
        before, old_model = deeper, _built(deeper.config, deeper.schema)
        identities = frozenset(layer.name for layer in layers(old_model)[shallow - 1 : -1])
    try:
        old, new = describe(old_model), describe(model)
    except ConfigError:
        return _by_layers(model, old_model, before, schema)
    shapes = {key: value.shape for key, value in before.model.items()}
    if not _correspond(old, new):
        return _by_layers(model, old_model, before, schema)
    own = {key: value.shape for key, value in model.state_dict().items()}
    return Offer(resized(before.model, old, new, own), shapes, identities=identities)


def _built(config: Config, schema: Schema) -> nn.Module:
    """Return the model of a configuration, without drawing from the random generator of the run."""
    with torch.random.fork_rng(devices=[]):
        return bare_model(config, schema)


def _correspond(old: Structure, new: Structure) -> bool:
    """Return whether two models have the same layers, in whatever widths."""

    def axes(structure: Structure) -> list[list[tuple[str, int]]]:
        return [[(axis.tensor, axis.dimension) for axis in (*group.written, *group.read)] for group in structure.groups]

    return axes(old) == axes(new) and old.outputs == new.outputs


def _by_layers(model: nn.Module, old_model: nn.Module, parent: Parent, schema: Schema) -> Offer:
    """Return the weights of the layers that are the same in two models, from the input up to the first that differs.

    The first layer may read other columns, if some are the same; see :func:`trainctl.run.columns.matched`.
    """
    before, after = parent.schema.input_names, schema.input_names
    columns = (len(before), len(after)) if set(before) & set(after) else (0, 0)
    weights: dict[str, Tensor] = {}
    own, stopped, why = model.state_dict(), "", ""
    pairs = list(zip(layers(model), layers(old_model), strict=False))
    for new, old in pairs:
        if why := _difference(new, old, own, parent.model, columns) or _moves_otherwise(new, old, model, old_model):
            stopped = new.name
            break
        columns = (0, 0)
        weights |= {name: parent.model[other] for name, other in zip(new.tensors, old.tensors, strict=True)}
    shapes = {key: value.shape for key, value in weights.items()}
    return Offer(weights, shapes, stopped or layers(model)[-1].name, why)


def _difference(
    new: Layer, old: Layer, own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], columns: tuple[int, int]
) -> str:
    """Return in what a layer differs from that of another model; empty if their tensors have the same shapes.

    A weight may read so many columns in the other model, and so many in the new one.
    """
    if len(new.tensors) != len(old.tensors):
        return f"has {amount(len(old.tensors), 'tensor')} there, {len(new.tensors)} here"
    for name, other in zip(new.tensors, old.tensors, strict=True):
        same = own[name].shape == theirs[other].shape
        if not same and (theirs[other].shape[1:], own[name].shape[1:]) != (columns[:1], columns[1:]):
            return f"{name} has shape {_shape(theirs[other])} there, {_shape(own[name])} here"
    return ""


def _moves_otherwise(new: Layer, old: Layer, model: nn.Module, old_model: nn.Module) -> str:
    """Return in what a layer of the same shape moves its filters otherwise than that of another model; empty if it does not."""
    one, other = model.get_submodule(new.name), old_model.get_submodule(old.name)
    for key in ("stride", "dilation", "transposed"):
        here, there = getattr(one, key, None), getattr(other, key, None)
        if here != there and None not in (here, there):
            return f"{key} is {there} there, {here} here"
    return ""


def _why_new_outputs(schema: Schema, parent: Parent, body_only: bool) -> str:
    """Return why the output layer is new; empty if it may be taken."""
    if body_only:
        return "init.layers=body"
    if schema.task == parent.schema.task == "classification" and schema.class_names != parent.schema.class_names:
        return "its output classes differ"
    return "" if same_targets(schema, parent.schema) else "its targets differ"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "1"
