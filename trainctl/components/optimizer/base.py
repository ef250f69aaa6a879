"""The types of the parameters of optimizers, and a function that avoids importing PyTorch's compiler."""

from typing import Annotated, Any

import torch

# Two groups, as in torch.optim: the weights, and the biases and norm parameters, to which weight decay does not apply.
ParameterGroups = list[dict[str, Any]]

Rate = Annotated[float, "(0, inf)"]
Fraction = Annotated[float, "[0, 1)"]
NotNegative = Annotated[float, "[0, inf)"]


# PyTorch's optimizers import its compiler at the first call of a method, to exclude that method from compilation. This
# takes as long as importing PyTorch itself, and trainctl compiles nothing.


def without_compiler() -> None:
    """Mark the methods of optimizers as excluded from compilation, so that building one does not import the compiler.

    The attribute's name is private to PyTorch; with a version that uses another name, a run starts a second later.
    """
    for method in vars(torch.optim.Optimizer).values():
        if inner := getattr(method, "__wrapped__", None):
            vars(inner).setdefault("__dynamo_disable", inner)
