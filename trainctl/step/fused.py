"""An optimizer's step without what surrounds its arithmetic: the plain method, or the one kernel that it calls."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainctl.run.run import Run

Kernel = Callable[[], None]
# The kernels that PyTorch's fused optimizers call. Private names: where a PyTorch has another one, its own step is used.
KERNELS = {
    torch.optim.Adam: ("_fused_adam_", "_fused_adamw_"),
    torch.optim.AdamW: ("_fused_adam_", "_fused_adamw_"),
    torch.optim.SGD: ("_fused_sgd_",),
}


def trained_by(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters that an optimizer changes."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def unwrapped_step(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return an optimizer's step method; for PyTorch's own optimizers, without the wrapper for the compiler."""
    kind = type(optimizer)
    if not kind.__module__.startswith("torch.optim."):
        return optimizer.step
    return torch.no_grad()(partial(inspect.unwrap(kind.step), optimizer))


def lacking(optimizer: torch.optim.Optimizer) -> str:
    """Return the names of the fused kernels of an optimizer that this PyTorch does not have, as text; empty if none."""
    return ", ".join(f"torch.{name}" for name in KERNELS.get(type(optimizer), ()) if not hasattr(torch, name))


class Update:
    """Applies an optimizer; Adam, AdamW and SGD by calling the kernel that they would call, without what surrounds it.

    Args:
        run: On a CPU or a CUDA device.
        apply: Applies the optimizer in the plain way.
    """

    def __init__(self, run: Run, apply: Callable[[], object]) -> None:
        self.optimizer, self.parameters, self.apply = run.optimizer, trained_by(run.optimizer), apply
        self.scaled = run.scaler.is_enabled()  # it looks at the gradients first
        self.kernels: list[Kernel] | None = None
        run.optimizer.register_load_state_dict_post_hook(lambda _: setattr(self, "kernels", None))  # other tensors

    def __call__(self) -> None:
        """Make a step from the gradients that the parameters hold."""
        whole = all(parameter.grad is not None for parameter in self.parameters)
        if self.kernels and whole:
            with torch.no_grad():
                for kernel in self.kernels:
                    kernel()
            return
        self.apply()  # makes the optimizer's tensors, the first time
        if self.kernels is None and whole:
            self.kernels = [] if self.scaled else fused(self.optimizer)


def fused(optimizer: torch.optim.Optimizer) -> list[Kernel]:
    """Return the calls of an optimizer's fused kernel: one for all groups whose settings agree; none if it has none.

    Rate, momentum and betas are read from the group at each call.
    """
    groups = optimizer.param_groups
    if type(optimizer) not in KERNELS or lacking(optimizer) or not all(group["fused"] for group in groups):
        return []
    make = _sgd if type(optimizer) is torch.optim.SGD else _adam
    settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
    if all(setting == settings[0] for setting in settings):
        weights = trained_by(optimizer)
        return [make(groups[0], weights, [optimizer.state[weight] for weight in weights])]
    return [make(group, group["params"], [optimizer.state[weight] for weight in group["params"]]) for group in groups]


def _adam(group: dict[str, Any], weights: list[Any], states: list[dict[str, Tensor]]) -> Kernel:
    means, squares, steps = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq", "step"))
    largest = [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else []
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    counts = _joined(steps)
    steps = list(counts)
    for state, count in zip(states, steps, strict=True):  # parts of one tensor: one addition counts for all
        state["step"] = count

    def step() -> None:
        counts.add_(1)
        beta1, beta2 = group["betas"]
        kernel(
            weights, [weight.grad for weight in weights], means, squares, largest, steps,
            lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"], eps=group["eps"],
            amsgrad=group["amsgrad"], maximize=False,
        )  # fmt: skip

    return step


def _joined(numbers: list[Tensor]) -> Tensor:
    """Return scalars as one tensor: the one that they are the parts of, in order, or else a new one."""
    first, size = numbers[0], numbers[0].element_size()
    places = {(part.device, part.dtype, part.data_ptr() - place * size) for place, part in enumerate(numbers)}
    whole = len(places) == 1 and first.untyped_storage().nbytes() >= (first.storage_offset() + len(numbers)) * size
    return first.as_strided((len(numbers),), (1,)) if whole else torch.stack(numbers)


def _sgd(group: dict[str, Any], weights: list[Any], states: list[dict[str, Tensor]]) -> Kernel:
    velocities = [state["momentum_buffer"] for state in states] if group["momentum"] else []

    def step() -> None:
        torch._fused_sgd_(
            weights, [weight.grad for weight in weights], velocities,
            lr=group["lr"], momentum=group["momentum"], dampening=group["dampening"], nesterov=group["nesterov"],
            weight_decay=group["weight_decay"], maximize=False, is_first_step=False,
        )  # fmt: skip

    return step
