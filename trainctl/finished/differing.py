"""The settings in which runs differ. Imports no torch."""

from collections.abc import Sequence

from trainctl.finished.record import Record
from trainctl.settings.config import leaves
from trainctl.settings.spelling import spell


def differing(records: Sequence[Record]) -> dict[str, list[str]]:
    """Return the values of the settings that differ, in the order of the configurations; - where there is none."""
    flattened = [leaves(record.config) for record in records]
    rows = {}
    for key in dict.fromkeys(key for settings in flattened for key in settings):
        cells = [spell(settings[key]) if key in settings else "-" for settings in flattened]
        if len(set(cells)) > 1:
            rows[key] = cells
    return rows
