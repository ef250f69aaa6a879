"""What every optimizer is given."""

from typing import Annotated, Any

import torch

# Two groups as torch.optim takes them: the weights, and the biases and norm parameters that weight decay spares.
ParameterGroups = list[dict[str, Any]]

Rate = Annotated[float, "(0, inf)"]
Share = Annotated[float, "[0, 1)"]
NotNegative = Annotated[float, "[0, inf)"]


# PyTorch's optimizers import its compiler, to tell it what not to compile, at the first call of a method. That takes as
# long as importing PyTorch itself, and nothing of theirs is compiled here.


def without_compiler() -> None:
    """Note the methods of optimizers as left out of compilation already, so that building one does not import it.

    The name is private to PyTorch: one that has another takes a second longer to start, and computes the same.
    """
    for method in vars(torch.optim.Optimizer).values():
        if inner := getattr(method, "__wrapped__", None):
            vars(inner).setdefault("__dynamo_disable", inner)
