"""A copy in memory of everything that steps and evaluations change, and whether all of that is finite."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from trainctl.machine import device
from trainctl.run.run import Run
from trainctl.store import checkpoint, restore


class Snapshot:
    """A copy of all that steps and evaluations change.

    Args:
        run: Between two steps.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tensors = {name: tensor.detach().clone() for name, tensor in run.changing_tensors.items()}
        self.optimizer = _copied(run.optimizer.state_dict()["state"])
        self.groups = checkpoint.group_numbers(run.optimizer)
        self.scaler = run.scaler.state_dict()
        self.random = device.random_states(run.device)
        self.state = dict(vars(run.state))  # its values are replaced, never changed

    @property
    def step(self) -> int:
        """The optimizer steps that were done when it was taken."""
        return int(self.state["step"])

    @torch.no_grad()
    def put_back(self) -> None:
        """Set the run to the snapshot; the optimizer's tensors are others then."""
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
    """Return the names of buffers that are infinite on purpose, such as an attention mask."""
    learned = {parameter.data_ptr() for parameter in run.model.parameters()}
    return {
        name
        for name, tensor in run.changing_tensors.items()
        if name != "sums"
        and tensor.data_ptr() not in learned
        and tensor.is_floating_point()
        and bool(tensor.isinf().any())
    }


@torch.no_grad()
def sound(run: Run, spared: Collection[str] = ()) -> bool:
    """Return whether weights, buffers, the optimizer's state and the running sums are finite; waits for the device.

    Args:
        run: Between two steps.
        spared: Names of the tensors that :func:`masks` returned when training began.
    """
    named = run.changing_tensors
    for name in spared:  # in these only NaN is wrong
        named[name] = named[name].nan_to_num(math.nan, 0.0, 0.0)
    if run.scaler.is_enabled():  # a step that overflows is skipped, but its loss is summed
        del named["sums"]
    states = run.optimizer.state.values()
    tensors = [
        *named.values(),
        *(value for entries in states for value in entries.values() if isinstance(value, Tensor)),
    ]
    sums = [tensor.sum() for tensor in tensors if tensor.is_floating_point()]
    total = torch.stack([total.to(run.device, torch.float32) for total in sums]).sum()
    return math.isfinite(float(run.world.sum(total)))
