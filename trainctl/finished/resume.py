"""Continue a run that exists: check that it can be, and with which settings."""

from collections.abc import Sequence
from pathlib import Path

from trainctl.errors import CheckpointError
from trainctl.finished.open import configuration
from trainctl.report import phrases
from trainctl.settings import existing
from trainctl.settings.config import Config, Tree
from trainctl.store import records
from trainctl.train.conclusion import Summary

BUDGETS = "loop.epochs, loop.max_steps, loop.max_time or early_stopping.patience"


def settings(directory: Path, packages: Sequence[str], overrides: Sequence[str]) -> Config:
    """Return the configuration with which a run continues.

    Args:
        directory: The run's directory.
        packages: Packages of the user's components.
        overrides: Changes, such as ``loop.epochs=50``.

    Raises:
        CheckpointError: If the run was not trained, or cannot be read.
        ConfigError: If a setting may not change.
    """
    require_trained(directory)
    return configuration(directory, packages, overrides, existing.MAY_CHANGE, change=past_its_stop)


def require_trained(directory: Path) -> None:
    """Check that a run was trained.

    Raises:
        CheckpointError: If a command made it from other runs without training.
    """
    made_by = records.read_facts(directory).made_by
    if made_by and not made_by.trained:
        command = made_by.verb
        raise CheckpointError(
            f"{directory.name}: was made by {command} without training, so there is nothing to resume; to train it:"
            f" trainctl finetune {phrases.pasteable(directory)}"
        )


def past_its_stop(tree: Tree, overrides: Sequence[str], allowed: Sequence[str]) -> Tree:
    """Return the run's configuration with some settings changed, and without an unchanged ``stop_at_step``."""
    changed = existing.change(tree, overrides, allowed)
    if changed["loop"]["stop_at_step"] == tree["loop"]["stop_at_step"]:
        changed["loop"]["stop_at_step"] = None
    return changed


def note(summary: Summary, name: str) -> str:
    """Return a line for a run that had nothing to do; empty for one that was continued.

    Args:
        summary: What :func:`trainctl.train.session.resume` has returned.
        name: The run's.
    """
    if summary["resumed"]:
        return ""
    return f"{name} is finished ({summary['reason']}): nothing to do; to train longer, raise {BUDGETS}"
