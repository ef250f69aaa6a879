"""Copy what a run needs of other runs into its own directory, and read it from there: the others may be deleted.

::

    parents/<n>/
        config.yaml             as in the other run
        weights.safetensors     its weights, cleaning and scalings
        parent.json             role, name, step, schema, its own parents; SHA-256 of the other two, and of itself

Other runs are only read.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

from trainctl.data.schema import Schema
from trainctl.errors import CheckpointError
from trainctl.run.parent import Parent, Role
from trainctl.store import (
    checkpoint,
    configuration,
    directories,
    manifest,
    records,
    restore,
    rundir,
    runfile,
    runpath,
    tensors,
    typed,
)
from trainctl.store.records import MadeBy, ParentFacts, Sha256
from trainctl.store.runpath import AnyPath, RunPath
from trainctl.store.typed import Count

MOST = 1000  # parents of a run
LARGEST_CONFIG = 16_000_000  # bytes


@dataclass(frozen=True)
class Card:
    """The content of `parent.json`."""

    role: Role
    name: str
    path: str
    step: Count
    weights_sha256: Sha256
    config_sha256: Sha256
    schema: dict[str, Any]
    copy_sha256: Sha256
    made_by: MadeBy | None = None
    parents: list[ParentFacts] = field(default_factory=list)


def open_parent(path: AnyPath, role: Role, which: str, packages: list[str]) -> Parent:
    """Read what a run needs of another run, from the other run's directory.

    Args:
        path: The directory of the other run.
        role: What it is for.
        which: Its weights: ``best`` or ``last``; always the last if it was stopped before its first evaluation.
        packages: Packages of the user's components.

    Raises:
        CheckpointError: If it is not a run, or is damaged.
        ConfigError: If it uses packages that are not in ``packages``.
    """
    directory = runpath.hold(path)
    config = configuration.read(directory, packages)
    saved = restore.newest(directory, [which])
    content = saved.manifest
    best = which == "best" and content.best is not None
    payload = content.best if best and content.best else content.last
    named = tensors.read(saved.path.parent / payload.file, payload.sha256)
    facts = records.read_facts(directory)
    return Parent(
        role=role,
        name=directory.name,
        path=str(directory),
        step=int(content.state["best"]["step"]) if best else content.step,
        weights_sha256=payload.sha256,
        config_sha256=_sha256_of_config(directory),
        config=config,
        schema=Schema.from_json(content.data, saved.path),
        fitted=restore.fitted(named),
        model=_model(named),
        made_by=asdict(facts.made_by) if facts.made_by else None,
        parents=tuple(map(asdict, facts.parents)),
    )


def write(directory: AnyPath, parents: tuple[Parent, ...]) -> None:
    """Write the parents of a new run into its directory.

    Raises:
        StorageError: If they cannot be written.
    """
    held = runpath.hold(directory)
    if parents:
        directories.ensure_directory(held / "parents")
    for number, parent in enumerate(parents):
        folder = held / "parents" / str(number)
        directories.ensure_directory(folder)
        rundir.write(folder / "config.yaml", rundir.config_text(parent.config.tree))
        weights = {f"model.{key}": value for key, value in parent.model.items()}
        payload = tensors.write(folder / "weights.safetensors", weights | checkpoint.fitted_tensors(parent.fitted))
        card = parent.facts() | {"schema": parent.schema.to_json(), "copy_sha256": payload.sha256}
        rundir.write_json(folder / "parent.json", card | {"sha256": manifest.checksum(card)})


def read(directory: AnyPath, packages: list[str]) -> tuple[Parent, ...]:
    """Read the parents of a run from its own directory, in their order; none if it has none.

    Raises:
        CheckpointError: If one of them is damaged.
        ConfigError: If one of them uses packages that are not in ``packages``.
    """
    held = runpath.hold(directory)
    if runpath.kind(held / "parents") == "":
        return ()
    numbers = sorted(int(name) for name in runfile.names(held / "parents") if name.isdecimal() and len(name) < 5)
    if numbers != list(range(len(numbers))) or len(numbers) > MOST:
        raise CheckpointError(f"{held / 'parents'}: damaged (expected the directories 0 to {len(numbers) - 1})")
    return tuple(_read(runpath.enter(held / "parents" / str(number)), packages) for number in numbers)


def _read(folder: RunPath, packages: list[str]) -> Parent:
    path = folder / "parent.json"
    content = records.require_json(path)
    if content.get("sha256") != manifest.checksum(content):
        raise CheckpointError(f"{path}: damaged (its SHA-256 does not match)")
    try:
        card = typed.read(Card, content)
    except typed.WrongTypeError as error:
        raise CheckpointError(f"{path}: damaged ({error})") from error
    named = tensors.read(folder / "weights.safetensors", card.copy_sha256)
    return Parent(
        role=card.role,
        name=card.name,
        path=card.path,
        step=card.step,
        weights_sha256=card.weights_sha256,
        config_sha256=card.config_sha256,
        config=configuration.read(folder, packages),
        schema=Schema.from_json(card.schema, path),
        fitted=restore.fitted(named),
        model=_model(named),
        made_by=asdict(card.made_by) if card.made_by else None,
        parents=tuple(map(asdict, card.parents)),
    )


def _model(named: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix("model."): value for key, value in named.items() if key.startswith("model.")}


def _sha256_of_config(directory: RunPath) -> str:
    return hashlib.sha256(runfile.read_bytes(directory / "config.yaml", LARGEST_CONFIG)).hexdigest()
