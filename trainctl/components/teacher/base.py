"""The type that every teacher returns, and the distances between a model's outputs and a teacher's."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainctl.errors import ConfigError

Task = Literal["classification", "regression", "reconstruction"]
View = Literal["augmented", "plain"]
# (outputs of the model in training (N, ...), what the teacher says (N, ...)) -> distance of each row (N,)
Distance = Callable[[Tensor, Tensor], Tensor]
Pull = Callable[[Tensor, Tensor], tuple[Tensor, float]]


@dataclass(frozen=True)
class Teacher:
    """What a model learns from in addition to the labels, and how much.

    A step minimizes ``label_weight * loss + weight(step) * mean(distance)``: the loss over its rows with a label, the
    distance over the rows that the teacher speaks about.

    Args:
        model: The model whose outputs are learned from, in evaluation mode while it is asked; None: there is no teacher.
        distance: Compares the outputs of the model in training with what the teacher says.
        weight: Weight of the distance, a function of the number of steps that were taken.
        label_weight: Weight of the loss on labels.
        says: Converts the teacher's outputs ``(N, ...)`` to what it says about the rows ``(N, ...)``.
        view: Whether the teacher sees rows as the model in training sees them, or as they are stored.
        fixed: Whether the teacher and its weight never change, so that what it says about a row can be computed once.
        scales: Whether the teacher scales rows itself; if not, it receives them in the scaling of the run.
        only_unlabeled: Whether it speaks only about rows without a label.
        follow: Called after every step with the step's number, counted from 1; None: the teacher does not move.
        pull: The gradient of the distance of each row with respect to its outputs, as ``(direction (N, ...), factor)``,
            if a closed form is known: it takes a fraction of the kernels that autograd runs.
    """

    model: nn.Module | None
    distance: Distance
    weight: Callable[[int], float]
    label_weight: float = 1.0
    says: Callable[[Tensor], Tensor] = lambda outputs: outputs
    view: View = "plain"
    fixed: bool = False
    scales: bool = False
    only_unlabeled: bool = False
    follow: Callable[[int], None] | None = None
    pull: Pull | None = None

    @property
    def changing_tensors(self) -> dict[str, Tensor]:
        """The tensors that steps change in the teacher, by name; empty if it is fixed, or the model in training itself."""
        return self.model.state_dict() if self.model is not None and self.follow is not None else {}


def softened(outputs: Tensor, temperature: float) -> Tensor:
    r"""Return the probabilities :math:`\mathrm{softmax}(t / T)` ``(N, K)``."""
    return (outputs / temperature).softmax(1)


def divergence(outputs: Tensor, probabilities: Tensor, temperature: float) -> Tensor:
    r"""Return :math:`T^2\, \mathrm{KL}(q \,\|\, \mathrm{softmax}(z / T))` of each row ``(N,)``.

    The factor :math:`T^2` keeps the size of the gradient with respect to :math:`z` independent of the temperature.

    Args:
        outputs: :math:`z`, ``(N, K)``.
        probabilities: :math:`q`, ``(N, K)``.
        temperature: :math:`T` [1].

    >>> same = torch.tensor([[1.0, 2.0]])
    >>> float(divergence(same, softened(same, 4.0), 4.0).abs().max()) < 1e-6
    True
    """
    logarithms = functional.log_softmax(outputs / temperature, dim=1)
    return temperature**2 * functional.kl_div(logarithms, probabilities, reduction="none").sum(1)


def pull_of_divergence(outputs: Tensor, probabilities: Tensor, temperature: float) -> tuple[Tensor, float]:
    r"""Return the gradient of :func:`divergence`, :math:`T\, (\mathrm{softmax}(z / T) - q)`, as direction and factor."""
    return softened(outputs, temperature) - probabilities, temperature


def pull_of_squared(outputs: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    r"""Return the gradient of :func:`squared`, :math:`2 (z - t) / K`, as direction and factor."""
    return outputs - targets, 2 / outputs[0].numel()


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference of each row ``(N,)`` from ``(N, ...)``."""
    return (outputs - targets).square().flatten(1).mean(1)


def squared_probabilities(outputs: Tensor, probabilities: Tensor) -> Tensor:
    r"""Return :math:`|\mathrm{softmax}(z) - q|^2` of each row ``(N,)``, summed over the classes."""
    return (outputs.softmax(1) - probabilities).square().sum(1)


def twin(model: nn.Module) -> nn.Module:
    """Return a copy of a model in evaluation mode that does not require gradients."""
    return copy.deepcopy(model).requires_grad_(False).eval()


@torch.no_grad()
def approach(follower: nn.Module, model: nn.Module, weight: float) -> None:
    r"""Move a copy towards a model: :math:`a \leftarrow a + s\,(w - a)`, buffers included; counters are copied.

    Args:
        follower: The copy.
        model: The model.
        weight: :math:`s` [1]; 1 makes them equal.
    """
    ours, theirs = ({**dict(one.named_parameters()), **dict(one.named_buffers())} for one in (follower, model))
    numbers = [key for key, tensor in ours.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([ours[key] for key in numbers], [theirs[key] for key in numbers], weight)
    for key, tensor in ours.items():
        if not tensor.is_floating_point():
            tensor.copy_(theirs[key])


def need_task(name: str, task: Task, allowed: tuple[Task, ...], other: str) -> None:
    """Raise ConfigError unless the teacher supports the task.

    Args:
        name: The teacher.
        task: The task of the model.
        allowed: The tasks that it supports.
        other: What to use instead, e.g. ``teacher=mean``.
    """
    if task not in allowed:
        raise ConfigError(f"teacher={name} is for {' and '.join(allowed)}, but this is a {task} task: use {other}")
