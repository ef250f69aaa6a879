"""Merge runs into one run of a single model, without training.

    trainctl merge RUN RUN... [method=greedy|mean|join] [align=false] [which=best] [tolerance=0.01] [output=DIR]
        [settings] [root=runs]

RUN is a run's directory, its name, or a part of the name. The runs must have the same model, data, classes and scaling.
The new run costs as much as one of them, except for `join`. It is written to DIR, or below `root`. The runs are only
read.

method=greedy   The mean of their weights: runs are tried in the order of their validation metric, and kept unless they
                make the mean worse. On the validation rows, the result is never worse than the best run.
method=mean     The mean of the weights of all.
method=join     One wide model whose outputs are the mean of theirs; the inverse is `trainctl split`. Widths may differ.
align=true      Match hidden units first: the units of two runs that did not start from the same weights are in
                different orders, which ruins their mean.

    trainctl merge tuned-1 tuned-2 tuned-3
    trainctl merge seed-0 seed-1 method=mean align=true
    trainctl merge small-1 small-2 method=join output=runs/wide

A table shows what each run is worth, alone and in the mean. The statistics of batch norms are the mean of theirs, or
are computed on the training rows; whichever is better on the validation rows is kept. `tolerance` is by how much the
monitored metric may be worse than that of the best run; if it is exceeded, the run is kept and the exit code is 9.
device, threads, dataset.root and dataset.download may be changed.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainctl.command import arguments, launching, option_values
from trainctl.report import table

if TYPE_CHECKING:
    from trainctl.finished.merge import Merged

OPTIONS = {
    "method": "greedy", "align": "false", "which": "best", "tolerance": "", "output": "", "root": "runs",
}  # fmt: skip
METHODS = ("greedy", "mean", "join")


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and merge; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv), overrides=True, one_process="merge")
    options, root = parsed.options, Path(parsed.options["root"])
    method = option_values.choice("method", options["method"], METHODS)
    align = option_values.choice("align", options["align"], ("true", "false")) == "true"
    which = option_values.choice("which", options["which"], ("best", "last"))
    tolerance = option_values.tolerance(options["tolerance"])
    output = option_values.new_path("output", options["output"])
    directories = arguments.several(parsed.names, root, "merge")
    packages, overrides = arguments.packages(parsed.overrides)
    launching.require_allowed(directories[0], packages, overrides)
    launching.import_torch()
    from trainctl.finished import announcement, merge
    from trainctl.store.parents import open_parent

    parents = tuple(open_parent(directory, "part", which, packages) for directory in directories)
    settings = merge.Settings(method, align)  # type: ignore[arg-type]  # one of METHODS
    config = merge.configuration(parents, settings, str(root), overrides)
    merged = merge.merge(config, parents, settings)
    directory = merge.write(merged, output)
    show(merged)
    announcement.announce(directory, merge.notes(merged))
    announcement.require_tolerable(directory, tolerance)
    return 0


def show(merged: "Merged") -> None:
    """Print what each part is worth, alone and in the mean."""
    metric = merged.run.config.monitor
    if not merged.trials:
        rows = [[part.name, str(part.step), table.number(value)] for part, value in merged.ranking]
        table.show(["part", "step", metric], rows, right=["step", metric])
        return
    headers = ["part", "step", metric, f"{metric} of the mean", "kept", "statistics"]
    rows = [
        [
            trial.part.name,
            str(trial.part.step),
            table.number(trial.alone),
            "-" if math.isnan(trial.together) else table.number(trial.together),
            "yes" if trial.kept else "no",
            "-" if trial.statistics == "none" else trial.statistics,
        ]
        for trial in merged.trials
    ]
    norms = any(trial.statistics != "none" for trial in merged.trials)
    shown = slice(None if norms else -1)
    table.show(headers[shown], [row[shown] for row in rows], right=headers[1:4])
