"""The layers of a model, from the input to the output: what is transferred, frozen, and trained at a rate of its own."""

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainctl.components.compress._int8_layers import Range

NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)


@dataclass(frozen=True)
class Layer:
    """A layer with weights, and what belongs to it: the norms that follow it.

    Args:
        name: Path of the module with the weights, such as ``0.weight`` without ``.weight``.
        modules: The paths of all its modules.
        tensors: The names of all its parameters and buffers in the model's state dict.
        parameters: Those of them that are parameters.
    """

    name: str
    modules: tuple[str, ...]
    tensors: tuple[str, ...]
    parameters: tuple[str, ...]


def layers(model: nn.Module) -> list[Layer]:
    """Return the layers of a model in the order in which it was built, embeddings first; the last is the output layer.

    A norm belongs to the layer before it. Modules without parameters and buffers belong to none.
    """
    modules = [
        (name, module)
        for name, module in model.named_modules()
        if list(module.parameters(recurse=False)) or list(module.buffers(recurse=False))
    ]
    modules.sort(key=lambda entry: not isinstance(entry[1], nn.Embedding))  # stable
    grouped: list[list[tuple[str, nn.Module]]] = []
    for name, module in modules:
        if isinstance(module, (*NORMS, Range)) and grouped:  # a range of activations belongs to its layer
            grouped[-1].append((name, module))
        elif grouped and all(isinstance(each, NORMS) for _, each in grouped[-1]):
            grouped[-1].append((name, module))  # a norm of the inputs belongs to the first layer
        else:
            grouped.append([(name, module)])
    return [_layer(group) for group in grouped]


def _layer(modules: list[tuple[str, nn.Module]]) -> Layer:
    named = next((name for name, module in modules if not isinstance(module, NORMS)), modules[0][0])
    tensors: list[str] = []
    parameters: list[str] = []
    for name, module in modules:
        prefix = f"{name}." if name else ""
        own = [f"{prefix}{key}" for key, _ in module.named_parameters(recurse=False)]
        parameters += own
        tensors += own + [f"{prefix}{key}" for key, _ in module.named_buffers(recurse=False)]
    return Layer(named, tuple(name for name, _ in modules), tuple(tensors), tuple(parameters))


def distance_to_output(model: nn.Module) -> dict[nn.Parameter, int]:
    """Return for each parameter of a model how many layers lie between its layer and the end: 0 for the output layer."""
    parameters, order = dict(model.named_parameters()), layers(model)
    return {
        parameters[name]: len(order) - 1 - number
        for number, layer in enumerate(order)
        for name in layer.parameters
        if name in parameters  # not one that an earlier layer shares
    }
