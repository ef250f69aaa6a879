"""Make a run again that a command made without training, and compare the bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError, ConfigError
from trainctl.finished import ensemble, merge, prune, quantize, split
from trainctl.finished.bitwise import Comparison, tensor_difference
from trainctl.finished.open import Finished
from trainctl.run.parent import Parent
from trainctl.store import parents as stored_parents
from trainctl.store import records
from trainctl.train.made import Recipe, build, make

# What each command that makes runs without training does: (config of the made run, its parents, the command's settings) -> recipe.
Maker = Callable[[Finished, tuple[Parent, ...], dict[str, Any]], Recipe]
MAKERS: dict[str, Maker] = {
    "merge": merge.recipe,
    "ensemble": ensemble.recipe,
    "split": split.recipe,
    "prune": prune.maker,
    "quantize": quantize.maker,
}


def remake(run: Finished, output: Path | None = None) -> Comparison:
    """Make a run again from the copies of its parents, and compare all tensors of its model.

    Args:
        run: The run.
        output: Where the new run is kept, a directory that must not exist; None to make it in memory only.

    Raises:
        CheckpointError: If this version does not know the command, or a parent is damaged.
        StorageError: If the new run cannot be written.
    """
    made_by = records.read_facts(run.directory).made_by
    if made_by is None or made_by.verb not in MAKERS:
        command = made_by.verb if made_by else "an unknown command"
        raise CheckpointError(f"{run.directory}: was made by {command}, which this version of trainctl does not know")
    parents = stored_parents.read(run.directory, run.config.components)
    if not parents:
        raise CheckpointError(f"{run.directory / 'parents'}: is missing, so the run cannot be reproduced")
    try:
        again = build(MAKERS[made_by.verb](run, parents, made_by.settings))
    except ConfigError as error:
        raise CheckpointError(*error.within(f"{run.directory / 'config.yaml'}: ")) from error
    before = {f"model.{key}": value for key, value in run.weights("last").model.items()}
    if output:
        make(again, made_by, output)
    now = {f"model.{key}": value for key, value in again.model.state_dict().items()}
    return Comparison(0, 0, 0, len(before), tensor_difference(before, now, 0))


def was_made(run: Finished) -> bool:
    """Return whether a command made the run without training it."""
    made_by = records.read_facts(run.directory).made_by
    return made_by is not None and not made_by.trained
