"""Show what settings are: one with all that is known of it, several as a table. Imports no torch."""

from collections.abc import Sequence

from trainctl.report import prose, table
from trainctl.settings.explained import Explained


def show(settings: Sequence[Explained]) -> None:
    """Print settings."""
    if len(settings) == 1:
        _one(settings[0])
        return
    differ = any(each.value != each.default for each in settings)
    headers = ["setting", "value", *(["default"] if differ else []), "allowed", "meaning"]
    rows = [
        [each.key, each.value, *([each.default] if differ else []), each.allowed, prose.plain(each.meaning)]
        for each in settings
    ]
    table.show(
        headers, rows, optional=("default", "allowed") if differ else ("allowed",), wrapped=("allowed", "meaning")
    )


def _one(setting: Explained) -> None:
    table.line(f"{setting.key}={setting.value}", style="bold")
    if setting.meaning:
        table.lines(prose.paragraph(setting.meaning))
    for label, text in (("allowed", setting.allowed), ("default", setting.default), ("set by", setting.origin)):
        table.line(f"{label:<9}{text}")
