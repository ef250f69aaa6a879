"""The data set of a configuration: read, shared by the trials of a sweep, and loaded for a run."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainctl.components.scale.base import Summary
from trainctl.data import load
from trainctl.data.inherit import Start
from trainctl.data.rows import Data, Fitted
from trainctl.data.schema import Schema
from trainctl.fileformat.room import Room
from trainctl.machine import device as devices
from trainctl.machine import memory
from trainctl.run.factory import member, takes
from trainctl.run.parent import Parent
from trainctl.settings.config import Config


def dataset_key(config: Config) -> str:
    """Return what two configurations have in common if they read the same data set."""
    return json.dumps([config.parts["dataset"], list(config.components), config.learns_without_labels], sort_keys=True)


def reader(
    config: Config, schema: Schema | None = None, trained: Schema | None = None, device: torch.device | None = None
) -> Callable[[], Any]:
    """Return the function that reads the data set.

    Args:
        config: Of the run.
        schema: The schema of a finished run, which its data must match; None for a run that is trained.
        trained: The schema of the run that is continued or repeated; None for a new run.
        device: Where to hold rows that are in memory; None: in this machine's memory, whatever the device of the run.
    """
    room = Room(
        min(memory.available(), devices.free_memory(device)),
        None if trained is None else trained.encoding.keep or "memory",
    )
    return partial(member, config, "dataset", schema=schema, unlabeled=config.learns_without_labels, room=room)


def share_dataset(config: Config) -> None:
    """Read the data set of a configuration for all trials of a sweep."""
    load.share(reader(config), dataset_key(config))


def load_data(
    config: Config,
    device: torch.device,
    trained: Schema | None = None,
    fitted: Fitted | None = None,
    origin: Parent | None = None,
) -> Data:
    """Load the data set of a run to be trained, see :func:`assemble`; ``origin`` is the run that it starts from."""
    name = f"dataset={config.parts['dataset']['name']}"
    start = Start(origin.name, origin.schema, origin.fitted) if origin else None
    dataset = load.read(reader(config, trained=trained, device=device), name, trained, dataset_key(config), start)

    def scale(values: Tensor, summary: Callable[[], Summary] | None = None) -> Any:
        return member(config, "scale", values=values, summary=summary)

    settings = config.parts["scale"]
    by_sample = "" if takes("scale", settings, config.components, "summary") else str(settings["name"])

    return load.load(
        dataset,
        member(config, "clean"),
        scale,
        config.split,
        device,
        own="path" in config.parts["dataset"],
        fitted=fitted,
        unlabeled=config.learns_without_labels,
        start=start,
        by_sample=by_sample,
    )
