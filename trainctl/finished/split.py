"""Split a run into runs of small models that train on their own; the inverse of joining them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainctl.errors import CheckpointError, ConfigError, StorageError
from trainctl.finished import compatibility, joining
from trainctl.finished.merge import joined
from trainctl.finished.open import Finished
from trainctl.run.model import build_model
from trainctl.run.parent import Parent
from trainctl.run.run import Run
from trainctl.run.units import WIDTHS, describe
from trainctl.settings.config import Config
from trainctl.settings.spelling import spell
from trainctl.store import rundir
from trainctl.store.building import building
from trainctl.store.records import MadeBy
from trainctl.train import cost
from trainctl.train.made import Recipe, build, make

MOST = 1000  # parts


@dataclass(frozen=True)
class Piece:
    """A part of a run that has not been written.

    Args:
        recipe: What it is made of.
        run: The run, with its weights.
    """

    recipe: Recipe
    run: Run


def configurations(parents: tuple[Parent, ...], parts: int, root: str, overrides: Sequence[str] = ()) -> list[Config]:
    """Return the configuration of each part of a run: that of the run, with fewer units in each layer.

    Args:
        parents: The run to split; for one that was joined and not trained since, also the runs of which it was joined.
        parts: Number of parts.
        root: Directory below which each part gets its own.
        overrides: Settings of the machine that the user changes, such as ``device=cpu``.

    Raises:
        ConfigError: If a layer has fewer units than there are parts.
    """
    whole, *originals = parents
    model = whole.config.parts["model"]
    for key, value in model.items() if not originals else ():
        widths = [width for width in (value if isinstance(value, list) else [value]) if isinstance(width, int)]
        if key in WIDTHS and any(width < parts for width in widths):
            raise ConfigError(f"parts={parts}: model.{key}={spell(value)} has a layer with fewer units than that")
    if parts > MOST:
        raise ConfigError(f"parts={parts}: at most {MOST}")
    models = [each.config.parts["model"] for each in originals] or joining.split_widths(model, parts)
    return [compatibility.configuration([whole], root, overrides, {"model": each}) for each in models]


def originals_of(whole: Parent, grandparents: tuple[Parent, ...], parts: int) -> tuple[Parent, ...]:
    """Return the runs of which a run was joined, if their join is still what it is; otherwise none.

    A join keeps only the sum of the biases of the outputs. The runs that were joined are in the joined run's directory, so
    a split returns exactly them.
    """
    made_by = whole.made_by or {}
    if made_by.get("verb") != "merge" or made_by["settings"].get("method") != "join" or len(grandparents) != parts:
        return ()
    again = joined(whole.config, grandparents)
    same = again.keys() == whole.model.keys() and all(torch.equal(again[key], whole.model[key]) for key in again)
    return grandparents if same else ()


def split(configs: Sequence[Config], parents: tuple[Parent, ...]) -> list[Piece]:
    """Split a run in memory.

    Args:
        configs: The configuration of each part, see :func:`configurations`.
        parents: The run to split, and perhaps the runs of which it was joined.

    Raises:
        ConfigError: If the hidden units of the model are not known, or it has none.
        TrainctlError: If the data cannot be read.
    """
    weights = divided(configs, parents)
    return [_piece(config, parents, weights[number], number, len(configs)) for number, config in enumerate(configs)]


def _piece(config: Config, parents: tuple[Parent, ...], weights: dict[str, Tensor], number: int, parts: int) -> Piece:
    whole, *originals = parents
    kept = (whole, *originals[number : number + 1])
    made_by = MadeBy("split", {"parts": parts, "part": number}, trained=False)
    recipe = Recipe(config, whole.schema, whole.fitted, kept, weights, made_by)
    return Piece(recipe, build(recipe))


def divided(configs: Sequence[Config], parents: tuple[Parent, ...]) -> list[dict[str, Tensor]]:
    """Return the weights of each part of a run."""
    whole, *originals = parents
    if originals:
        return [part.model for part in originals]
    models = [build_model(config, whole.schema, compatibility.CPU)[0] for config in configs]
    structures, structure = [describe(model) for model in models], describe(compatibility.build_part(whole)[0])
    if not structure.groups:
        raise ConfigError(f"{whole.name}: model={whole.config.parts['model']['name']} has no hidden units to split")
    try:
        joining.require_addition(structure, structures)
    except CheckpointError as error:
        raise CheckpointError(f"{whole.name}: cannot be split into {len(configs)} parts: {error}") from error
    return joining.split(whole.model, structures, structure, [model.state_dict() for model in models])


def write(pieces: Sequence[Piece], directory: Path | None) -> list[Path]:
    """Write the parts of a run, and return their directories.

    Args:
        pieces: The parts.
        directory: Directory of the parts, ``part-0`` and so on; None for new ones below ``output.root``.

    Raises:
        StorageError: If one cannot be written.
    """
    run = pieces[0].run
    whole = pieces[0].recipe.parents[0]
    model = compatibility.build_part(whole)[0]
    model.load_state_dict(whole.model)
    before = cost.measure(replace(run.evaluation, model=model.to(run.device)), run.config.monitor)
    root = directory.absolute().parent if directory else rundir.root_of(run.config.output.root)
    with building(root) as staging:
        parts = [
            make(piece.run, piece.recipe.made_by, staging / f"part-{number}", before)
            for number, piece in enumerate(pieces)
        ]
        return _published(parts, staging, directory, pieces[0].run.config)


def _published(parts: Sequence[Path], staging: Path, directory: Path | None, config: Config) -> list[Path]:
    """Give complete runs their final names; a kill before leaves none of them."""
    try:
        if directory:
            staging.rename(directory)
            return [directory / part.name for part in parts]
        label = "-".join(["split", config.parts["dataset"]["name"], config.parts["model"]["name"]])
        return [part.rename(staging.parent / rundir.new_name(f"{label}-{part.name}")) for part in parts]
    except OSError as error:
        raise StorageError(f"{directory or staging.parent}: cannot be written: {error.strerror}") from error


def recipe(run: Finished, parents: tuple[Parent, ...], settings: dict[str, Any]) -> Recipe:
    """Split the parent of a run again, and return this part.

    Raises:
        CheckpointError: If these are not settings of this command.
    """
    parts, number = settings.get("parts"), settings.get("part")
    if not (isinstance(parts, int) and isinstance(number, int) and 0 <= number < parts <= MOST):
        raise CheckpointError(f"{run.directory / 'run.json'}: made_by.settings: expected parts and part")
    if len(parents) > 1:
        return Recipe(run.config, parents[0].schema, parents[0].fitted, parents, parents[1].model, _made(settings))
    configs = configurations(parents, parts, run.config.output.root)
    configs[number] = run.config
    weights = divided(configs, parents)[number]
    return Recipe(run.config, parents[0].schema, parents[0].fitted, parents, weights, _made(settings))


def _made(settings: dict[str, Any]) -> MadeBy:
    return MadeBy("split", settings, trained=False)
