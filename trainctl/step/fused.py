"""An optimizer's step without Python overhead: its unwrapped method, or direct calls of its fused kernel."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainctl.run.run import Run

Kernel = Callable[[], None]
# The kernels that PyTorch's fused optimizers call. These names are private: if one is missing, the optimizer's own step
# is used.
KERNELS = {
    torch.optim.Adam: ("_fused_adam_", "_fused_adamw_"),
    torch.optim.AdamW: ("_fused_adam_", "_fused_adamw_"),
    torch.optim.SGD: ("_fused_sgd_",),
}


def trained_parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters that an optimizer updates."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def unwrapped_step(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return an optimizer's step method; for PyTorch's own optimizers without its wrappers for the compiler."""
    kind = type(optimizer)
    if not kind.__module__.startswith("torch.optim."):
        return optimizer.step
    step, hooks = torch.no_grad()(partial(inspect.unwrap(kind.step), optimizer)), optimizer._optimizer_step_pre_hooks
    if not hooks:
        return step

    def step_with_hooks() -> object:
        for hook in hooks.values():
            hook(optimizer, (), {})
        return step()

    return step_with_hooks


def lacking(optimizer: torch.optim.Optimizer) -> str:
    """Return the names of an optimizer's fused kernels that this PyTorch lacks, as text; empty if it has all."""
    return ", ".join(f"torch.{name}" for name in KERNELS.get(type(optimizer), ()) if not hasattr(torch, name))


class Update:
    """Applies an optimizer; for Adam, AdamW and SGD by calling their fused kernels directly, without Python overhead.

    Args:
        run: A run on a CPU or a CUDA device.
        apply: Applies the optimizer in the usual way.
    """

    def __init__(self, run: Run, apply: Callable[[], object]) -> None:
        self.optimizer, self.parameters, self.apply = run.optimizer, trained_parameters(run.optimizer), apply
        self.scaled = run.scaler.is_enabled()  # a scaler checks the gradients first
        self.kernels: list[Kernel] | None = None
        run.optimizer.register_load_state_dict_post_hook(lambda _: setattr(self, "kernels", None))  # new tensors

    def __call__(self) -> None:
        """Update the parameters from their gradients."""
        complete = all(parameter.grad is not None for parameter in self.parameters)
        if self.kernels and complete:
            with torch.no_grad():
                for kernel in self.kernels:
                    kernel()
            return
        self.apply()  # creates the optimizer's tensors the first time
        if self.kernels is None and complete:
            self.kernels = [] if self.scaled else fused(self.optimizer)


def fused(optimizer: torch.optim.Optimizer) -> list[Kernel]:
    """Return functions that call an optimizer's fused kernel; an empty list if it has none.

    There is one function for all groups if their settings are equal, otherwise one for each group. Learning rate,
    momentum and betas are read from the group at each call.
    """
    groups = optimizer.param_groups
    if type(optimizer) not in KERNELS or lacking(optimizer) or not all(group["fused"] for group in groups):
        return []
    make = _sgd if type(optimizer) is torch.optim.SGD else _adam
    settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
    if all(setting == settings[0] for setting in settings):
        weights = trained_parameters(optimizer)
        return [make(groups[0], weights, [optimizer.state[weight] for weight in weights])]
    return [make(group, group["params"], [optimizer.state[weight] for weight in group["params"]]) for group in groups]


def _adam(group: dict[str, Any], weights: list[Any], states: list[dict[str, Tensor]]) -> Kernel:
    means, squares, steps = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq", "step"))
    largest = [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else []
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    counts = _joined(steps)
    steps = list(counts)
    for state, count in zip(states, steps, strict=True):  # views of one tensor, so that one addition increments all
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
    """Return scalars as one tensor: the tensor of which they are consecutive elements, or a new one."""
    first, size = numbers[0], numbers[0].element_size()
    starts = {(part.device, part.dtype, part.data_ptr() - index * size) for index, part in enumerate(numbers)}
    whole = len(starts) == 1 and first.untyped_storage().nbytes() >= (first.storage_offset() + len(numbers)) * size
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
