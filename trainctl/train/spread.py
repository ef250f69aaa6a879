"""Give all processes the state of the first one, a few tensors at a time: a copy of all of them may not fit the memory."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from trainctl.machine import device as devices
from trainctl.machine.link import Link
from trainctl.run.run import Run
from trainctl.step import split_state
from trainctl.store import checkpoint, restore

AT_ONCE = 32 << 20  # bytes of tensors that travel together, or a single tensor


def spread_state(run: Run) -> None:
    """Replace the state of every process by that of the first one."""
    link = run.world.link
    if link is None:
        return
    if run.world.first:
        named = _tensors(run)
        groups = _groups(named)
        _sent(link, {"numbers": _numbers(run), "groups": groups})
        for names in groups:
            link.spread(safetensors.torch.save({name: _on_host(named[name]) for name in names}))
    else:
        facts, kept = _sent(link, None), dict[str, Tensor]()
        for _ in facts["groups"]:
            kept |= _taken(run, safetensors.torch.load(link.spread(b"")))
        _take_rest(run, facts["numbers"], kept)
    split_state.forget_the_others(run)
    link.seconds = run.state.seconds


def _sent(link: Link, facts: Any) -> Any:
    """Return the facts of the first process; the others give None."""
    return json.loads(link.spread(b"" if facts is None else json.dumps(facts).encode()))


def _tensors(run: Run) -> dict[str, Tensor]:
    """Return all tensors that steps change."""
    random = {f"random.{name}": value for name, value in devices.random_states(run.device).items()}
    best = {f"best.{name}": value for name, value in run.state.best_weights.items()}
    return run.changing_tensors | random | best | checkpoint.flatten_optimizer(run.optimizer)[0]


def _numbers(run: Run) -> dict[str, Any]:
    """Return all numbers that steps change."""
    return {
        "state": asdict(replace(run.state, best_weights={})),
        "optimizer": checkpoint.flatten_optimizer(run.optimizer)[1],
        "groups": checkpoint.group_numbers(run.optimizer),
        "scaler": run.scaler.state_dict(),
    }


def _groups(named: dict[str, Tensor]) -> list[list[str]]:
    """Return the names of the tensors that travel together."""
    groups, room = list[list[str]](), 0
    for name, value in named.items():
        if not groups or value.nbytes > room:
            groups.append([])
            room = AT_ONCE
        groups[-1].append(name)
        room -= value.nbytes
    return groups


def _on_host(value: Tensor) -> Tensor:
    return value.detach().cpu().contiguous().clone()  # a view would be sent with all that it is a view of


@torch.no_grad()
def _taken(run: Run, named: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy weights and buffers into those of the run; return the other tensors."""
    own = run.changing_tensors
    for name in own.keys() & named.keys():
        own[name].copy_(named[name])
    return {name: value for name, value in named.items() if name not in own}


def _take_rest(run: Run, numbers: dict[str, Any], named: dict[str, Tensor]) -> None:
    """Load all but weights and buffers."""
    restore.load_optimizer(run.optimizer, _below(named, "optimizer."), numbers["optimizer"], Path("process 0"))
    restore.restore_group_numbers(run.optimizer, numbers["groups"])
    if run.scaler.is_enabled():
        run.scaler.load_state_dict(numbers["scaler"])
    for key, value in numbers["state"].items():
        if key != "best_weights":
            record = restore.RECORDS.get(key)
            setattr(run.state, key, record(**value) if record and value is not None else value)
    run.state.best_weights = {key: value.to(run.device) for key, value in _below(named, "best.").items()}
    devices.restore_random_states(_below(named, "random."), run.device)


def _below(named: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
