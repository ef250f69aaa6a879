"""Show the runs from which a run was made.

    trainctl lineage [RUN] [format=text|json] [root=runs]

RUN is a run's directory, its name, or a part of the name; without it, the newest run. The tree shows for each run its
role (start: its weights were the initial ones; teacher; part: it was merged), the steps that its weights were trained
for, the command that made it, and whether it has changed or is gone since. A run keeps a copy of what it needs of the
others, so it can be resumed, verified and reproduced without them.

    trainctl lineage
    trainctl lineage my-run format=json
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from trainctl.command import arguments, option_values
from trainctl.finished.lineage import Ancestor, lineage, made
from trainctl.report import table
from trainctl.store import finding

OPTIONS = {"format": "text", "root": "runs"}


def main(argv: Sequence[str]) -> int:
    """Print the lineage; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1)
    form = option_values.choice("format", parsed.options["format"], ("text", "json"))
    directory = finding.find(parsed.names[0] if parsed.names else None, Path(parsed.options["root"]))
    tree = lineage(directory)
    if form == "json":
        table.json([asdict(each) for each in tree])
        return 0
    for each in tree:
        table.line(line(each))
    if len(tree) == 1:
        table.line("It was trained from scratch." if tree[0].made_by is None else "Its run.json names no parents.")
    return 0


def line(run: Ancestor) -> str:
    """Return the line of a run, indented by its generation."""
    steps = "" if run.step is None else f"step {run.step:,}"
    facts = [steps, made(run.made_by), "" if run.state == "unchanged" else run.state]
    label = f"{run.role} " if run.role else ""
    return f"{'  ' * run.depth}{label}{run.name}  {'; '.join(filter(None, facts))}".rstrip()
