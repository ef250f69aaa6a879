"""The journal of a sweep, opened where it is kept: in its directory, or in a database with `sweep.storage`. No torch."""

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError
from trainctl.report import table
from trainctl.settings import schema
from trainctl.settings.config import seconds
from trainctl.settings.storage import shown
from trainctl.settings.sweep import Sweep
from trainctl.store import database, directories, journal
from trainctl.store.journal_base import Journal
from trainctl.store.journal_database import DatabaseJournal
from trainctl.store.runpath import RunPath
from trainctl.wording import typed

# Settings that may differ between machines that share a database: where their files are.
LOCAL = ("output.root", "dataset.root", "dataset.download")


def connect(settings: Sweep) -> database.Database | None:
    """Connect to the database that a new sweep keeps its journal in; None without `sweep.storage`.

    Raises:
        StorageError: If it cannot be reached.
        UnavailableError: If a package is missing.
    """
    return database.Database(settings.storage, seconds(settings.lease)) if settings.storage else None


def found(connected: database.Database, home: Path, record: Mapping[str, Any]) -> tuple[Journal, Any, dict[str, Any]]:
    """Begin a sweep in a database, or join the one of that name.

    Returns:
        Its journal, the record that counts for all that join it, and what `sweep.json` says on this machine.

    Args:
        connected: The database.
        home: The sweep's directory on this machine, which need not exist yet.
        record: What `sweep.json` says of a sweep that begins here and now.
    """
    place = {"place": secrets.token_hex(8), "storage": connected.shown}
    opened = _open(connected, home, place["place"])
    shared = opened.found({**record, "sweep": secrets.token_hex(8)})
    own = {key: record[key] for key in ("created", "command", "words", "directory", "config_dir")}
    return opened, shared, {**(shared if isinstance(shared, dict) else {}), **own, **place}


def open_journal(held: RunPath, settings: Sweep, local: dict[str, Any]) -> tuple[Journal, dict[str, Any]]:
    """Return the journal of a sweep whose directory exists, and the record that counts for all that join it.

    Args:
        held: The directory.
        settings: The settings of the sweep in this process.
        local: The content of its `sweep.json`.

    Raises:
        CheckpointError: If the journal is elsewhere than the settings say, or is that of another sweep.
    """
    begun = local.get("storage")
    if settings.storage is None and begun is None:
        journal.prepare(held)
        return journal.DirectoryJournal(held, seconds(settings.lease)), local
    if settings.storage is None:
        raise CheckpointError(f"{held}: its journal is in a database; give {typed('sweep.storage', str(begun))}")
    if begun is None:
        raise CheckpointError(f"{held}: its journal is in this directory; leave out sweep.storage")
    if not schema.fits(local.get("place"), str) or not schema.fits(local.get("sweep"), str):
        raise CheckpointError(f"{held / 'sweep.json'}: damaged: place or sweep is not a string")
    opened = _open(database.Database(settings.storage, seconds(settings.lease)), held.path, local["place"])
    if not isinstance(opened.record, dict):
        raise database.missing(shown(settings.storage), held.path.name)
    if opened.record.get("sweep") != local["sweep"]:
        raise CheckpointError(
            f"{held}: belongs to an earlier sweep, not to the one of this name in {shown(settings.storage)};"
            " move it away to join that one, or give a new sweep.name"
        )
    return opened, opened.record


def _open(connected: database.Database, home: Path, place: str) -> DatabaseJournal:
    connected.say = lambda text: table.line(text, stream=sys.stderr)
    connected.open(home.name)
    opened = DatabaseJournal(connected, place, str(home.absolute()))
    opened.say = lambda text: table.line(text, stream=sys.stderr)
    return opened


def prepare(held: RunPath) -> None:
    """Create the directories that a sweep with its journal in a database has here, too."""
    directories.ensure_directory(held / "logs")
