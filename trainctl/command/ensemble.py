"""Make one run of several that predicts the mean of what they predict.

    trainctl ensemble RUN RUN... [which=best] [tolerance=0.01] [output=DIR] [settings] [root=runs]

RUN is a run's directory, its name, or a part of the name. The models may be of different kinds, and may have cleaned
and scaled their rows differently; task, classes in their order, columns and vocabulary must agree. The new run
contains all of them, so it costs as much as they do together, and the originals may be deleted. It is written to DIR,
or below `root`. Its other settings are those of the first RUN.

    trainctl ensemble seed-0 seed-1 seed-2
    trainctl ensemble my-mlp my-cnn my-rnn output=runs/all

`trainctl predict` on an ensemble has a column `disagreement`, which is large where the parts differ. For a
classification, it is the mean Kullback-Leibler divergence of the parts from their mean in nats, from 0 to the
logarithm of the number of parts. For a regression, it is the standard deviation of what they predict, in the unit of
the target (a column for each of several targets); for autoencoders, the root mean square of that over all values, in
scaled units.

`tolerance` is by how much the monitored metric may be worse than that of the best run; if it is exceeded, the run is
kept and the exit code is 9. device, threads, dataset.root and dataset.download may be changed.
"""

from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments, launching, option_values
from trainctl.report import table

OPTIONS = {"which": "best", "tolerance": "", "output": "", "root": "runs"}


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and make the ensemble; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv), overrides=True, one_process="ensemble")
    options, root = parsed.options, Path(parsed.options["root"])
    which = option_values.choice("which", options["which"], ("best", "last"))
    tolerance = option_values.tolerance(options["tolerance"])
    output = option_values.new_path("output", options["output"])
    directories = arguments.several(parsed.names, root, "ensemble")
    packages, overrides = arguments.packages(parsed.overrides)
    launching.require_allowed(directories[0], packages, overrides)
    launching.import_torch()
    from trainctl.finished import announcement, ensemble
    from trainctl.store.parents import open_parent

    parents = tuple(open_parent(directory, "part", which, packages) for directory in directories)
    combined = ensemble.combine(ensemble.configuration(parents, str(root), overrides), parents)
    directory = ensemble.write(combined, output)
    metric = combined.run.config.monitor
    values = zip(parents, combined.alone, strict=True)
    rows = [
        [parent.name, parent.config.parts["model"]["name"], str(parent.step), table.number(value)]
        for parent, value in values
    ]
    table.show(["part", "model", "step", metric], rows, right=["step", metric])
    announcement.announce(directory, ensemble.notes(combined))
    announcement.require_tolerable(directory, tolerance)
    return 0
