"""Let several processes train one run: they build it alike, start from one state, and compare their weights.

The first process composes, decides and writes. It publishes what is to be trained as a job; each of the others builds the
same run from it, receives the state, and takes part in every step, see :mod:`trainctl.train.following`.
"""

import hashlib
import platform
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trainctl.data.schema import Schema
from trainctl.errors import Advice, ConfigError, DataError, UnavailableError
from trainctl.fileformat import fingerprints
from trainctl.machine import device as devices
from trainctl.machine import environment, threads
from trainctl.machine import world as worlds
from trainctl.machine.environment import Place
from trainctl.machine.link import Link
from trainctl.machine.presence import Presence
from trainctl.machine.rendezvous import join
from trainctl.machine.world import World
from trainctl.run import assemble
from trainctl.run.parent import Parent
from trainctl.run.run import Run
from trainctl.settings.config import Config
from trainctl.settings.processes import too_few_parts
from trainctl.settings.validation import obstacles
from trainctl.step import sharded
from trainctl.train import log_lines
from trainctl.train.spread import spread_state


def enter() -> World:
    """Join the processes that the environment names, and return them; later calls return them again.

    Raises:
        ConfigError: If the environment is incomplete.
        UnavailableError: If the first process cannot be found.
    """
    world, place = worlds.current(), environment.read()
    if place is None or world.link is not None:
        return world
    return enter_as(place, join(place))


def enter_as(place: Place, link: Link) -> World:
    """Become one of several processes."""
    world = World(place.rank, place.size, place.local_rank, place.local_size, link)
    worlds.set_current(world)
    if world.first:
        link.presence = Presence(link)
        log_lines.remember_warnings(link)
    return world


def assembled(
    config: Config,
    trained: Schema | None,
    parents: tuple[Parent, ...],
    parents_at: Path | None = None,
    *,
    world: World,
    restored: bool = False,
) -> Run:
    """Build a run in the first process, while the others build it, too, from the same settings.

    Args:
        config: The run's configuration.
        trained: The schema of the run that is continued or repeated; None for a new run.
        parents: The runs that it is made from.
        parents_at: The run directory in which the others find these; None for where the settings say.
        world: The processes.
        restored: Whether the caller loads all weights afterwards, so that pretrained ones are not needed.

    Raises:
        DataError: If another process reads other data.
        ProcessError: If another process cannot build the run.
        TrainctlError: If this one cannot.
    """
    link = world.link
    if link is None:
        if config.distributed.shard:
            note = "distributed.shard=true: there is one process, so nothing is divided: give e.g. processes=2"
            warnings.warn(note, Advice, stacklevel=2)
        return assemble.assemble(config, trained, parents, restored=restored)
    require_possible(config, world)
    link.timeout = config.distributed.seconds
    config = replace(config, threads=threads_for(config, world))
    number = link.next_job()
    job = {
        "tree": config.tree | {"threads": config.threads},
        "trained": trained.to_json() if trained else None,
        "parents_at": str(parents_at.absolute()) if parents_at else None,
    }
    link.publish(f"job/{number}", job)
    run = assemble.assemble(config, trained, parents, restored=restored, world=world)
    link.publish(f"loaded/{number}/{platform.node()}", True)
    ready(run, number)
    facts = [link.wait_for(f"ready/{number}/{rank}") for rank in range(world.size)]
    link.hosts = [each["host"] for each in facts]
    _require_alike(facts)
    return run


def ready(run: Run, number: int) -> None:
    """Publish what must be the same in all processes."""
    assert run.world.link is not None
    facts = {
        "host": platform.node(),
        "fingerprint": run.data.schema.fingerprint,
        "torch": torch.__version__,
        "processor": devices.processor(),
        "parameters": run.parameters,
    }
    run.world.link.publish(f"ready/{number}/{run.world.rank}", facts)


def _require_alike(facts: list[dict[str, Any]]) -> None:
    """Check that all processes have built the same run.

    Raises:
        ConfigError: If one keeps its rows elsewhere.
        DataError: If one reads other data.
        UnavailableError: If one has another version of torch.
    """
    first = facts[0]
    for rank, own in enumerate(facts):
        where = f"process {rank} on {own['host']}"
        if own["torch"] != first["torch"]:
            raise UnavailableError(
                f"{where} has torch {own['torch']}, process 0 on {first['host']} has {first['torch']}: install the same version"
            )
        if fingerprints.in_other_form(own["fingerprint"], first["fingerprint"]):
            raise ConfigError(
                f"{where} and process 0 on {first['host']} differ in whether rows fit in memory: set dataset.keep=disk, or"
                " dataset.keep=memory"
            )
        if own["fingerprint"] != first["fingerprint"] or own["parameters"] != first["parameters"]:
            there, here = fingerprints.shown(own["fingerprint"]), fingerprints.shown(first["fingerprint"])
            raise DataError(
                f"{where} has other data: fingerprint {there} there, {here} on {first['host']}:"
                " the files of the data set differ"
            )


def require_possible(config: Config, world: World) -> None:
    """Check that a run can be trained by so many processes.

    Raises:
        ConfigError: If it cannot.
    """
    if wrong := obstacles(config.tree, world.size):
        raise ConfigError(*wrong)
    if missing := too_few_parts(config.loop.micro_batches, world.size):
        raise ConfigError(missing)


def threads_for(config: Config, world: World) -> int:
    """Return the number of threads of each process: the CPUs of this machine are shared, unless a number is set."""
    if isinstance(config.threads, int):
        return config.threads
    if chosen := threads.from_environment():
        return chosen.threads
    granted = min(len(threads.allowed()), threads.quota() or float("inf"))
    return max(1, int(granted / world.local_size + 0.01))


def undivided(config: Config) -> Config:
    """Return a configuration with which every process has the optimizer's whole state, to compare it; the bits are the same."""
    distributed = config.tree["distributed"] | {"split_state": False}
    return replace(
        config,
        distributed=replace(config.distributed, split_state=False),
        tree=config.tree | {"distributed": distributed},
    )


def equalize(run: Run) -> None:
    """Give all processes the state of the first one, before the first step; the first process calls this."""
    link = run.world.link
    if link is None:
        return
    link.publish(f"go/{link.job}", {"stop_at_step": run.config.loop.stop_at_step})
    start_alike(run)


def start_alike(run: Run) -> None:
    """Give this process the state of the first one, or its share of it; every process calls this before the first step."""
    open_for(run)
    spread_state(run)
    compare_weights(run)
    sharded.shard(run)


def open_for(run: Run) -> None:
    """Open the connections for collective operations, as the run's settings have it."""
    link = run.world.link
    assert link is not None
    link.connect(run.device, run.config.distributed.seconds)
    link.fast = run.config.distributed.sum == "fast"
    link.seconds = run.state.seconds


def compare_weights(run: Run) -> None:
    """Check that all processes have the same weights and buffers, bit for bit, except weights that they divide.

    Raises:
        UnavailableError: If they do not.
    """
    if run.world.link is None:
        return
    digest, divided = hashlib.sha256(), {f"model.{name}" for name in sharded.parameters_in_shares(run)}
    for name, tensor in run.changing_tensors.items():
        if name in divided:
            continue
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    own = [digest.hexdigest(), platform.node(), devices.processor()]
    facts = run.world.share(own)
    for rank, (found, host, processor) in enumerate(facts):
        if found != facts[0][0]:
            raise UnavailableError(
                f"process {rank} on {host} has other weights than process 0 since step {run.state.step} or before:"
                f" {processor} there, {facts[0][2]} on {facts[0][1]}"
            )
