"""Split a run into runs of small models; the inverse of merge method=join.

    trainctl split RUN [parts=2] [which=best] [tolerance=0.01] [output=DIR] [settings] [root=runs]

RUN is a run's directory, its name, or a part of the name. The hidden units of each layer are dealt to the parts in
their order; weights between units of different parts are dropped. Each part is a complete run with the settings of
RUN, except for its widths, and reads all inputs. The parts are written below `root`, or to DIR/part-0, DIR/part-1 and
so on. RUN is only read.

    trainctl split my-run parts=2 output=runs/parts
    trainctl finetune runs/parts/part-0
    trainctl finetune runs/parts/part-1
    trainctl merge NEW-0 NEW-1 method=join

Small models train faster than a wide one: the cost of a dense layer grows with the square of its width. Joined again,
they compute the mean of their outputs. Splitting a run that was joined returns its parts to the last bit, unless it was
trained since. `tolerance` is by how much the monitored metric of a part may be worse than RUN's; if it is exceeded, the
parts are kept and the exit code is 9. device, threads, dataset.root and dataset.download may be changed.

Source: B. Yuan et al., Distributed learning of fully connected neural networks using independent subnet training, 2022.
"""

from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError
from trainctl.store import finding

OPTIONS = {"parts": "2", "which": "best", "tolerance": "", "output": "", "root": "runs"}


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and split; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True, one_process="split")
    options, root = parsed.options, Path(parsed.options["root"])
    if not parsed.names:
        raise ConfigError("split needs a run: trainctl split RUN parts=2")
    parts = option_values.integer("parts", options["parts"], 2)
    which = option_values.choice("which", options["which"], ("best", "last"))
    tolerance = option_values.tolerance(options["tolerance"])
    output = option_values.new_path("output", options["output"])
    directory = finding.find(parsed.names[0], root)
    packages, overrides = arguments.packages(parsed.overrides)
    launching.require_allowed(directory, packages, overrides)
    launching.import_torch()
    from trainctl.finished import announcement, split
    from trainctl.store.parents import open_parent, read

    whole = open_parent(directory, "start", which, packages)
    originals = split.originals_of(whole, read(directory, packages), parts)
    parents = (whole, *originals)
    pieces = split.split(split.configurations(parents, parts, str(root), overrides), parents)
    targets = split.write(pieces, output)
    for target in targets:
        announcement.announce(target)
    for target in targets:
        announcement.require_tolerable(target, tolerance)
    return 0
