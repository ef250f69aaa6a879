"""Make a trained model deeper without changing its outputs: new hidden layers are the identity.

Only for activations of which a second one changes nothing, and not for norms over units, which no setting of their weights
makes the identity. A new batch norm gets the statistics of its inputs, and undoes them.

Source: T. Chen, I. Goodfellow, J. Shlens, Net2Net: accelerating learning via knowledge transfer, ICLR 2016, section 2.2.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainctl.data.schema import Schema
from trainctl.errors import ConfigError
from trainctl.run.layers import layers
from trainctl.run.parent import Parent
from trainctl.settings.config import Config
from trainctl.wording import amount

IDEMPOTENT = frozenset({"relu", "identity"})
MODELS = frozenset({"mlp", "cnn"})  # whose hidden dense layers follow each other: model.hidden


def deeper(
    parent: Parent, config: Config, examples: Callable[[], Tensor], build: Callable[[Config, Schema], nn.Module]
) -> Parent | None:
    """Return a parent with as many hidden layers as a new model, and the same outputs; None if it has as many or more.

    Args:
        parent: The trained run.
        config: The new run's configuration, for the same model.
        examples: Returns training rows as the model receives them.
        build: Builds the model of a configuration.

    Raises:
        ConfigError: If the outputs could not stay the same.
    """
    before, after = parent.config.parts["model"], config.parts["model"]
    if after["name"] not in MODELS or parent.config.components or len(after["hidden"]) <= len(before["hidden"]):
        return None
    if not before["hidden"]:
        return None  # there is no activation yet: the first hidden layer is new
    more = len(after["hidden"]) - len(before["hidden"])
    norm = str(after["norm"]) if after["name"] == "mlp" else "none"  # a cnn's hidden layers have none
    what = f"model.hidden={after['hidden']} adds {amount(more, 'hidden layer')} to {parent.name}"
    if after["activation"] not in IDEMPOTENT:
        raise ConfigError(
            f"{what}, which cannot be the identity with model.activation={after['activation']}: only with"
            f" {' or '.join(sorted(IDEMPOTENT))}"
        )
    if norm in ("layer", "group"):
        raise ConfigError(f"{what}, which cannot be the identity with model.norm={norm}: only with none or batch")
    hidden = [*before["hidden"], *[before["hidden"][-1]] * more]
    part = before | {"hidden": hidden}
    for key in ("dropout", "hidden_dropout"):  # a list has one for each layer; it does not matter here
        if isinstance(part.get(key), list):
            part[key] = 0.0
    middle = replace(parent.config, parts={**parent.config.parts, "model": part})
    model = build(middle, parent.schema)
    _fill(model, build(parent.config, parent.schema), parent)
    _match_statistics(model, more, examples)
    return replace(parent, config=middle, model={key: value.clone() for key, value in model.state_dict().items()})


def _fill(model: nn.Module, old: nn.Module, parent: Parent) -> None:
    """Put the trained layers into a deeper model, and identities between them and the output layer."""
    *body, head = layers(old)
    *deep, new_head = layers(model)
    state = model.state_dict()
    for mine, theirs in (*zip(deep, body, strict=False), (new_head, head)):
        for name, other in zip(mine.tensors, theirs.tensors, strict=True):
            state[name] = parent.model[other]
    for layer in deep[len(body) :]:
        weight = state[f"{layer.name}.weight"]
        state[f"{layer.name}.weight"] = torch.eye(*weight.shape)
        state[f"{layer.name}.bias"] = torch.zeros_like(state[f"{layer.name}.bias"])
    model.load_state_dict(state)


@torch.no_grad()
def _match_statistics(model: nn.Module, more: int, examples: Callable[[], Tensor]) -> None:
    """Give each new batch norm the statistics of its inputs, and factors that undo them."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    model.eval()
    for norm in norms[len(norms) - more :] if norms else ():
        seen: list[Tensor] = []
        hook = norm.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        model(examples().cpu())
        hook.remove()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(seen[0].mean(0))
        norm.running_var.copy_(seen[0].var(0, correction=0))
        norm.weight.copy_((norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(norm.running_mean)
