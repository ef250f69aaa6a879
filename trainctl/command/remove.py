"""Remove runs, or whole sweeps, with everything in their directories.

    trainctl remove RUN... [yes=true] [parents=true] [root=runs]

RUN is a run's or a sweep's directory, its name, or a part of the name that no other has. The command shows what it
would remove and asks; where nobody can be asked, it needs yes=true. It refuses runs that a process writes to, single
trials of a sweep, and runs from which others were made, unless parents=true is given: these others keep what they need
of them, but their lineage then leads to a run that is gone.

    trainctl remove 20261120-2230
    trainctl remove runs/my-sweep yes=true
    trainctl remove $(trainctl runs status=failed format=csv | tail -n +2 | cut -d, -f2) yes=true
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments, option_values
from trainctl.errors import CheckpointError, ConfigError, format_bytes
from trainctl.report import phrases, table
from trainctl.store import finding, removal
from trainctl.wording import amount, listed

OPTIONS = {"yes": "false", "parents": "false", "root": "runs"}


def main(argv: Sequence[str]) -> int:
    """Ask, and remove; return the exit code.

    Raises:
        ConfigError: If no run is named, or nobody can be asked.
        CheckpointError: If one does not exist, or must not be removed.
        StorageError: If one is in use.
    """
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv))
    yes, parents = (
        option_values.choice(key, parsed.options[key], ("true", "false")) == "true" for key in ("yes", "parents")
    )
    if not parsed.names:
        raise ConfigError("remove: name the runs to remove: trainctl remove RUN...")
    root = Path(parsed.options["root"])
    paths = dict.fromkeys(finding.find_sweep(name, root) or finding.find(name, root) for name in parsed.names)
    found = [removal.candidate(path) for path in paths]
    for each in found:
        removal.check_unused(each)
    if not parents and (made := removal.children(found, root)):
        path, names = next(iter(made.items()))
        raise CheckpointError(
            f"{path}: runs were made from it ({listed(names)}); to remove it anyway, add parents=true"
        )
    for each in found:
        trials = f", {amount(len(each.trials), 'trial')}" if each.trials else ""
        table.line(f"{phrases.pasteable(each.path)}: {format_bytes(each.size)}{trials}")
    if not yes and not _confirmed(len(found)):
        table.line("nothing was removed")
        return 0
    for each in found:
        removal.remove(each)
    sweeps = sum(bool(each.trials) for each in found)
    counted = [(len(found) - sweeps, "run"), (sweeps, "sweep")]
    what = " and ".join(amount(count, word) for count, word in counted if count)
    table.line(f"removed {what}, {format_bytes(sum(each.size for each in found))}")
    return 0


def _confirmed(count: int) -> bool:
    """Ask whether to remove what was listed.

    Raises:
        ConfigError: If nobody can be asked.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("remove: cannot ask (not a terminal); add yes=true")
    table.line(f"Remove {'it' if count == 1 else f'these {count:,}'}? [y/N]")
    table.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
