"""Explain settings: value, meaning, range, default, and which file or word has set them.

    trainctl settings [KEY|SECTION|GROUP] [overrides] [format=text|json]

Without a name, all settings that every run has are listed; the parameters of components are listed by the name of their
group, for the selected member. Overrides, and the defaults of the project, apply as in training.

    trainctl settings
    trainctl settings loop
    trainctl settings loop.micro_batches
    trainctl settings optimizer.lr optimizer=sgd
    trainctl settings dataset dataset=csv
    trainctl settings sweep
"""

from collections.abc import Sequence
from dataclasses import asdict

from trainctl.command import arguments, option_values
from trainctl.report import setting_table, table
from trainctl.settings import explained

OPTIONS = {"format": "text"}


def main(argv: Sequence[str]) -> int:
    """Print the settings; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True)
    form = option_values.choice("format", parsed.options["format"], ("text", "json"))
    found = explained.explain(parsed.names[0] if parsed.names else None, parsed.overrides)
    if form == "json":
        table.json([asdict(each) for each in found])
    else:
        setting_table.show(found)
    return 0
