"""In-memory copies of everything that steps and evaluations change, and the check that it is finite."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from trainctl.machine import device
from trainctl.run.run import Run
from trainctl.store import checkpoint, restore


class Snapshot:
    """An in-memory copy of everything that steps and evaluations change.

    Args:
        run: The run, between two steps.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tensors = {name: tensor.detach().clone() for name, tensor in run.changing_tensors.items()}
        self.optimizer = _copied(run.optimizer.state_dict()["state"])
        self.groups = checkpoint.group_numbers(run.optimizer)
        self.scaler = run.scaler.state_dict()
        self.random = device.random_states(run.device)
        self.state = dict(vars(run.state))  # its values are replaced, never changed in place

    @property
    def step(self) -> int:
        """Optimizer steps completed when the snapshot was taken."""
        return int(self.state["step"])

    @torch.no_grad()
    def put_back(self) -> None:
        """Restore the run's state from the snapshot; this replaces the optimizer's tensor objects."""
        run = self.run
        for name, tensor in run.changing_tensors.items():
            tensor.copy_(self.tensors[name])
        groups = run.optimizer.state_dict()["param_groups"]
        run.optimizer.load_state_dict({"state": _copied(self.optimizer), "param_groups": groups})
        restore.restore_group_numbers(run.optimizer, self.groups)
        if run.scaler.is_enabled():
            run.scaler.load_state_dict(self.scaler)
        device.restore_random_states(self.random, run.device)
        vars(run.state).update(self.state)


def _copied(state: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    return {
        index: {key: value.clone() if isinstance(value, Tensor) else value for key, value in entries.items()}
        for index, entries in state.items()
    }


def masks(run: Run) -> set[str]:
    """Return the names of buffers that already contain infinite values, which are intended, e.g. in an attention mask."""
    learned = {parameter.data_ptr() for parameter in run.model.parameters()}
    return {
        name
        for name, tensor in run.changing_tensors.items()
        if name != "sums"
        and tensor.data_ptr() not in learned
        and tensor.is_floating_point()
        and bool(tensor.isinf().any())
    }


def are_finite(named: Mapping[str, Tensor], masked: Collection[str] = ()) -> bool:
    """Return whether tensors are finite; those in ``masked`` may be infinite, but not NaN."""
    return not any(
        bool((tensor.isnan() if name in masked else ~tensor.isfinite()).any()) for name, tensor in named.items()
    )


@torch.no_grad()
def state_is_finite(run: Run, masked: Collection[str] = ()) -> bool:
    """Return whether weights, buffers, the optimizer's state and the running sums are finite, in this process; waits for the device.

    Args:
        run: The run, between two steps.
        masked: Names of tensors that may contain infinite values, from :func:`masks` at the start of training.
    """
    named = run.changing_tensors
    for name in masked:  # only NaN is an error in these
        named[name] = named[name].nan_to_num(math.nan, 0.0, 0.0)
    if run.scaler.is_enabled():  # a step that overflows is skipped, but its loss is in the sums
        del named["sums"]
    states = run.optimizer.state.values()
    tensors = [
        *named.values(),
        *(value for entries in states for value in entries.values() if isinstance(value, Tensor)),
    ]
    sums = [tensor.sum() for tensor in tensors if tensor.is_floating_point()]
    total = torch.stack([total.to(run.sums.sums) for total in sums]).sum()
    return math.isfinite(float(total))
