"""Divide weights, gradients and the optimizer's state among processes, for models that are too large for one device.

torch's ``fully_shard`` divides the rows of each parameter. A module's weights are gathered when it computes, and its gradients
are added over the processes and divided again, once for each part of a batch. So all processes compute a part at the same
time, and one that has no part left computes rows that do not count. The optimizer sees this process's rows as tensors of its
own: an optimizer that treats each weight by itself needs nothing else. Sums are added in an order that depends on the number
of processes, so results agree with those of one process within rounding, not bit for bit.

What a process keeps is its *share*; what the first one gathers from all shares, to save it, is the *whole* state. So it is in
:mod:`trainctl.step.split_state` and in docs/scale.md, too.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.errors import ConfigError, UnavailableError, lacks_memory, out_of_memory
from trainctl.run.model import held, layout
from trainctl.run.run import Run
from trainctl.step.exchange import Exchange, Found
from trainctl.step.part import Compute, Part, Piece
from trainctl.step.split_state import is_divided
from trainctl.store.checkpoint import WholeState, flatten_optimizer

ROWS = 2  # that do not count, at a time: a batch norm needs more than one


def is_sharded(run: Run) -> bool:
    """Return whether the processes of a run divide its weights."""
    return run.evaluation.lockstep


def shares_of(run: Run) -> str:
    """Return what this process could not save without the others, in words; empty if it has everything."""
    if is_sharded(run):
        return "the weights (distributed.shard=true)"
    return "the optimizer's state (distributed.split_state=true)" if is_divided(run) else ""


def shard(run: Run) -> None:
    """Keep this process's share of the weights and of the optimizer's state, which all processes have whole.

    Raises:
        ConfigError: If this is not possible.
    """
    if not is_sharded(run):
        return
    from torch.distributed.device_mesh import init_device_mesh  # imported only now, as that takes seconds
    from torch.distributed.fsdp import FSDPModule, fully_shard

    model, optimizer = run.model, run.optimizer
    require_divisible(run)
    if not run.config.components:  # a view loses torch's hook if it is changed in place, which none of our models does
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")
    # 1. The model.
    names = {parameter: name for name, parameter in model.named_parameters()}
    mesh = init_device_mesh(run.device.type, (run.world.size,))
    _keep_layout(model)
    model.to(memory_format=torch.contiguous_format)  # fully_shard accepts no other
    for module in units(model):
        fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # a sum: parts are already weighted by their shares of the batch
            module.set_force_sum_reduction_for_comms(enable=True)
    # 2. The optimizer.
    state, own = optimizer.state_dict()["state"], held(model)
    for group in optimizer.param_groups:
        group["param_names"] = [names[each] for each in group["params"]]
        group["params"] = [nn.Parameter(own[name]) for name in group["param_names"]]
    parts = {index: {key: _share(run, value) for key, value in each.items()} for index, each in state.items()}
    optimizer.state.clear()
    optimizer.load_state_dict({"state": parts, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter in names:
        parameter.data = parameter.data.new_empty(0)  # frees the whole weights, whoever has a reference to them
    # 3. The best weights so far.
    best = run.state.best_weights
    run.state.best_weights = {
        key: _share(run, value) if own[key].shape != value.shape else value for key, value in best.items()
    }


def require_divisible(run: Run) -> None:
    """Check what is known only once a run is built.

    Raises:
        ConfigError: If processes share a GPU, or the weights cannot be divided.
    """
    named = list(run.model.named_parameters(remove_duplicate=False))
    if len({id(each) for _, each in named}) < len(named):
        raise ConfigError("distributed.shard=true: layers of the model share weights: set distributed.shard=false")
    if single := [name for name, each in named if not each.ndim]:
        raise ConfigError(f"distributed.shard=true: {single[0]} has no rows to divide: give it the shape (1,)")
    if run.world.link and run.world.link.staged:
        raise ConfigError(f"distributed.shard=true: processes={run.world.size} need a GPU each: give fewer processes")


def _keep_layout(model: nn.Module) -> None:
    """Let convolutions return maps in the layout of one process: dropout draws its numbers in the order of the memory."""
    form = layout(model)
    for module in model.modules() if form is torch.channels_last else ():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, maps: maps.contiguous(memory_format=form))


def units(model: nn.Module) -> list[nn.Module]:
    """Return the modules whose weights are gathered together: the outermost ones with parameters of their own.

    What is inside of them may be used without being called, as in an attention layer.
    """
    return [
        unit
        for child in model.children()
        for unit in ([child] if next(child.parameters(recurse=False), None) is not None else units(child))
    ]


def _share(run: Run, value: Any) -> Any:
    """Return this process's rows of a tensor; a number is not divided."""
    if not isinstance(value, Tensor) or not value.ndim:
        return value
    first, end = _rows(run, value.shape)[run.world.rank]
    return value[first:end].to(run.device, copy=True)


def _rows(run: Run, shape: torch.Size) -> list[tuple[int, int]]:
    """Return the first row of each process, and the one after its last, as fully_shard divides a tensor."""
    most = -(-shape[0] // run.world.size)
    return [(min(shape[0], most * rank), min(shape[0], most * (rank + 1))) for rank in range(run.world.size)]


def parameters_in_shares(run: Run) -> dict[str, nn.Parameter]:
    """Return the parameters that the processes divide, by name, with the shapes of all rows; none before :func:`shard`."""
    return {name: each for name, each in run.model.named_parameters() if hasattr(each, "to_local")}


def trained_names(run: Run) -> list[str]:
    """Return the names of the parameters that the optimizer updates, in its order."""
    names = {parameter: name for name, parameter in run.model.named_parameters()}
    groups = run.optimizer.param_groups
    return [name for group in groups for name in group.get("param_names") or [names[each] for each in group["params"]]]


def added(loss: Tensor) -> list[Tensor | None]:
    """Add the gradients of a part to those of the other parts, of all processes; return none, as each has some rows."""
    loss.backward()
    return []


def total_of(run: Run, value: float) -> float:
    """Return the sum of a number over the processes if each has other rows; otherwise the number."""
    link = run.world.link
    if link is None or not is_sharded(run):
        return value
    return float(link.add(torch.tensor(value, dtype=torch.float64, device=run.device)))


def clip_norm(run: Run, parameters: list[Tensor], most: float) -> None:
    """Scale the gradients so that their norm over all processes is at most ``most``."""
    squares = sum(float(each.grad.double().square().sum()) for each in parameters if each.grad is not None)
    norm = torch.tensor(math.sqrt(total_of(run, squares)), device=run.device)
    torch.nn.utils.clip_grads_with_norm_(parameters, most, norm)


class ShardedExchange(Exchange):
    """Completes a step of processes that divide the weights: torch has added the gradients while they were computed.

    Args:
        run: The run to train, whose weights are divided.
        compute: Computes a part.
    """

    def __init__(self, run: Run, compute: Compute) -> None:
        super().__init__(run, [])
        named = parameters_in_shares(run)
        self.compute, self.rows = compute, run.data.splits["train"].sample(ROWS)
        self.weights = [named[name] for name in trained_names(run)]
        self.counts, self.masked = True, set[Tensor]()  # whether the rows of a part count
        for unit in [run.model, *units(run.model)]:
            unit.register_forward_pre_hook(self._mask)  # after that of fully_shard, which gathers the weights

    def __call__(self, compute: Callable[[], Found], statistics: int) -> tuple[Part, list[Tensor], list[Tensor]]:
        """Compute this process's parts; see :meth:`Exchange.__call__`. The gradients are those of this process's rows."""
        for weight in self.weights:
            weight.grad = None

        def computed() -> Found:
            found = compute()
            self.counts = False
            try:
                for _ in range(-(-found.leaves // self.run.world.size) - len(found.norms)):  # others have a part more
                    self.compute(Piece(*self.rows))
                    self.run.sums.take()
            finally:
                self.counts = True
            return found

        part, norms, metrics = super().__call__(lambda: self.link.in_step(computed), statistics)
        gradients = [None if weight.grad is None else weight.grad.to_local() for weight in self.weights]  # type: ignore[attr-defined]
        return Part(part.loss, gradients, None), norms, metrics

    def _mask(self, module: nn.Module, inputs: object) -> None:
        """Let whole weights, once they are gathered, get gradients of zero from rows that do not count.

        To weight their loss by 0 is not enough: if it is infinite, 0 times its gradient is not a number.
        """
        if self.counts:
            return
        gathered = set(module.parameters(recurse=module is not self.run.model))  # torch gathers into the same tensors
        for weight in gathered - self.masked:
            if weight.requires_grad:
                weight.register_hook(self._counted)
        self.masked |= gathered

    def _counted(self, gradient: Tensor) -> Tensor:
        return gradient if self.counts else torch.zeros_like(gradient)

    def _agree(
        self, found: Found | None, trouble: BaseException | None, statistics: int
    ) -> tuple[list[bool], list[Tensor]]:
        """Exchange everything but gradients; a process in trouble ends, as the others wait for it inside a part."""
        if trouble is not None and lacks_memory(trouble):
            raise UnavailableError(out_of_memory(trouble)) from trouble
        if trouble is not None:
            raise trouble
        return super()._agree(found, trouble, statistics)


def whole(run: Run) -> WholeState | None:
    """Return all weights, the optimizer's state and the best weights in the first process, nothing in the others.

    None if they are not divided. Every process must call it at the same time.

    Raises:
        ProcessError: If a process is gone.
    """
    if not is_sharded(run):
        return None
    shapes = {name: parameter.shape for name, parameter in parameters_in_shares(run).items()}
    trained, (named, numbers) = trained_names(run), flatten_optimizer(run.optimizer)
    # In the order of their names, as the processes may have received them in any other.
    weights = {f"model.{name}": _whole(run, value, shapes.get(name)) for name, value in held(run.model).items()}
    states = {
        key: _whole(run, value, shapes[trained[int(key.split(".")[1])]] if value.ndim else None)
        for key, value in sorted(named.items())
    }
    best = {name: _whole(run, value, shapes.get(name)) for name, value in sorted(run.state.best_weights.items())}
    return (weights | states, numbers, best) if run.world.first else ({}, {}, {})


def _whole(run: Run, value: Tensor, shape: torch.Size | None) -> Tensor:
    """Return a tensor of which each process has some rows, in the host memory of the first one; None: it is not divided."""
    if shape is None:
        return value
    link, size, first = run.world.link, run.world.size, run.world.first
    assert link is not None
    width = math.prod(shape[1:])
    received = [(end - begin) * width if first else 0 for begin, end in _rows(run, shape)]
    rows = link.exchange(value.detach().reshape(-1), [value.numel(), *[0] * (size - 1)], received)
    return rows.cpu().view(shape) if first else rows
