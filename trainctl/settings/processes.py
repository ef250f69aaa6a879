"""How many processes train a run: what a configuration allows, and what it becomes for so many. Imports no torch."""

from collections.abc import Callable
from dataclasses import replace

from trainctl.errors import ConfigError
from trainctl.settings.config import Config
from trainctl.wording import amount


def divided(config: Config, size: int) -> tuple[Config, str]:
    """Return a configuration whose batches have a part for each process, and a note if that changes it, else ""."""
    if config.loop.micro_batches >= size:
        return config, ""
    tree = config.tree | {"loop": config.tree["loop"] | {"micro_batches": size}}
    note = (
        f"the batch is computed in {size} parts, one for each process; loop.micro_batches={size} on one process gives the"
        " same numbers"
    )
    return replace(config, loop=replace(config.loop, micro_batches=size), tree=tree), note


def wanted(config: Config, cpus: int, gpus: Callable[[], int], *, typed: bool) -> tuple[int, str]:
    """Return how many processes to start on this machine, and a note if they are fewer than the settings say.

    Args:
        config: The run's configuration.
        cpus: CPUs that this process may use.
        gpus: Returns the number of GPUs; called only if it matters.
        typed: Whether the user has typed the number; if not, it is that of an earlier session on any machine.

    Raises:
        ConfigError: If this machine cannot carry so many.
    """
    if config.processes == "auto":
        found = gpus() if config.device in ("auto", "cuda") else 0
        most = config.loop.batch_size if isinstance(config.loop.batch_size, int) else found
        return max(1, min(found, most)), ""
    count = config.processes
    if count == 1 or count <= cpus or (config.device != "cpu" and count <= gpus()):
        return count, ""
    if typed:
        raise ConfigError(
            f"processes={count}: this machine has {amount(cpus, 'CPU')} for it: each process needs one; give processes={cpus}"
        )
    return (
        cpus,
        f"processes={cpus} instead of {count}: this machine has {amount(cpus, 'CPU')}; the numbers stay the same",
    )


def too_few_parts(parts: int, size: int) -> str:
    """Return why so many processes cannot train a run that exists, whose batches have so many parts; empty if they can.

    >>> too_few_parts(2, 2), too_few_parts(1, 2)[:48]
    ('', 'processes=2: this run computes a batch in 1 part')
    """
    if parts >= size:
        return ""
    counted, most = (f"{parts} part", "one process") if parts == 1 else (f"{parts} parts", f"at most {parts} processes")
    return f"processes={size}: this run computes a batch in {counted} (loop.micro_batches), so {most} can train it"
