"""The content of `run.json`: versions, hardware, data, and everything else on which the results may depend."""

import platform
import shlex
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from trainctl.machine import device
from trainctl.run import pretrained
from trainctl.run.run import Run
from trainctl.step.sharded import is_sharded
from trainctl.store import rundir
from trainctl.store.records import MadeBy
from trainctl.train import repository


def run_json(run: Run, made_by: MadeBy | None = None) -> dict[str, Any]:
    """Return the content of `run.json`; ``made_by`` is the command that makes the run from its parents."""
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(["trainctl", *sys.argv[1:]]),
        "trainctl": rundir.version(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "git": repository.describe(Path.cwd()),
        "host": platform.node(),
        "processor": device.processor(),
        "device": device.name(run.device, replace(run.threads, reason="")),
        "threads": {"used": run.threads.threads, "reason": run.threads.reason},
        "processes": run.world.size,
        "shard": is_sharded(run),
        **({"hosts": run.world.link.hosts} if run.world.link else {}),
        "seed": run.config.seed,
        "data": {"fingerprint": run.data.schema.fingerprint}
        | {name: len(rows) for name, rows in run.data.splits.items()}
        | {"cleaned": list(run.data.changes), "notes": list(run.data.notes)}
        | {"inferred": [f"{label}: {text}" for label, text in run.data.inferred]}
        | ({"labels": run.data.kept.facts()} if run.data.kept else {}),
        "model": {"name": run.config.parts["model"]["name"], "parameters": run.parameters},
        "made_by": asdict(made_by) if made_by else None,
        "starts": [vars(entry) for entry in run.starts],
        "pretrained": dict(pretrained.facts(run.model)),
        "parents": [parent.facts() for parent in run.parents],
    }
