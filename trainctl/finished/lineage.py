"""Trace the runs from which a run was made, and compare them with what is on disk now. Imports no torch."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainctl.errors import CheckpointError
from trainctl.settings.spelling import spell
from trainctl.store import records, runfile, runpath
from trainctl.store.records import MadeBy, ParentFacts
from trainctl.store.runpath import AnyPath, RunPath

LARGEST = 16_000_000  # bytes of config.yaml
DEEPEST = 50  # generations


@dataclass(frozen=True)
class Ancestor:
    """A run in the tree of a run's lineage.

    Args:
        depth: Generations above the run; 0 for the run itself.
        role: What it was for; empty for the run itself.
        name: Name of its directory.
        path: Its directory when it was used.
        step: Number of optimizer steps that its weights were trained for; None if unknown.
        made_by: How it was made; None if it was trained from scratch.
        state: ``unchanged``, ``changed`` or ``gone``; empty for the run itself.
    """

    depth: int
    role: str
    name: str
    path: str
    step: int | None
    made_by: MadeBy | None
    state: str


def lineage(directory: AnyPath) -> list[Ancestor]:
    """Return a run and all runs that it was made from, each followed by its own parents."""
    held = runpath.hold(directory)
    facts, summary = records.read_facts(held), records.read_summary(held)
    itself = Ancestor(0, "", held.path.absolute().name, str(held), summary.steps, facts.made_by, "")
    return [itself, *(each for parent in facts.parents for each in _ancestors(parent, 1))]


def made(by: MadeBy | None) -> str:
    """Return how a run was made, with settings as they are typed; empty for one that was trained from scratch.

    >>> made(MadeBy("merge", {"runs": ["a b", "c"], "align": True}))
    'made by merge runs=[a b,c] align=true'
    """
    if by is None:
        return ""
    command = by.verb
    return " ".join([f"made by {command}", *(f"{key}={spell(value)}" for key, value in by.settings.items())])


def _ancestors(parent: ParentFacts, depth: int) -> Iterator[Ancestor]:
    yield Ancestor(depth, parent.role, parent.name, parent.path, parent.step, parent.made_by, state_of(parent))
    if depth < DEEPEST:
        for each in parent.parents:
            yield from _ancestors(each, depth + 1)


def state_of(parent: ParentFacts) -> str:
    """Return whether a parent is still what it was: ``unchanged``, ``changed`` or ``gone``."""
    try:
        held = runpath.hold(Path(parent.path))
        config = hashlib.sha256(runfile.read_bytes(held / "config.yaml", LARGEST)).hexdigest()
    except CheckpointError:
        return "gone"
    return "unchanged" if config == parent.config_sha256 and parent.weights_sha256 in _weights(held) else "changed"


def _weights(directory: RunPath) -> set[str]:
    """Return the SHA-256 of the weights that a run's checkpoints name; the files themselves are not read."""
    found: set[str] = set()
    with suppress(CheckpointError):
        folder = directory / "checkpoints"
        for name in runfile.names(folder):
            content = records.read_json(folder / name) if name.endswith(".json") else {}
            found |= {str(payload.get("sha256")) for payload in content.values() if isinstance(payload, dict)}
    return found
