"""Suggest a batch size: find the largest that fits in memory and the fastest.

    trainctl find-batch-size [FILE] [overrides] [max_size=N] [seconds=0.5]

It times optimizer steps with 1, 2, 4, ... samples, up to the size of the training split or `max_size`, on a copy in
memory, and stops when memory runs out. It suggests the smallest batch that reaches at least 95 % of the highest
speed: larger batches are not faster, and leave fewer steps per epoch.

    trainctl find-batch-size
    trainctl find-batch-size model=cnn device=cpu
    trainctl find-batch-size penguins.csv
    trainctl find-batch-size recipe=mnist_cnn max_size=4096 seconds=2

It accepts every FILE and override that training accepts. Each size is measured for about `seconds`. A different batch
size usually needs a different learning rate: see the note below the table. It writes no files.
"""

import math
from collections.abc import Sequence

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError
from trainctl.report import table
from trainctl.settings import early, project
from trainctl.wording import shell_words

OPTIONS = {"max_size": "", "seconds": "0.5"}


def main(argv: Sequence[str]) -> int:
    """Check all arguments, import torch and measure; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=0, overrides=True, composes=True)
    most = option_values.integer("max_size", parsed.options["max_size"], 1) if parsed.options["max_size"] else None
    seconds = option_values.number("seconds", parsed.options["seconds"], 0, 3600)
    checked = project.composed(parsed.overrides, parsed.config_dir)[0]
    early.require_data(checked)
    launching.require_one_process(checked, "find-batch-size")
    launching.import_torch()
    from trainctl.measure import learning_rate as finder
    from trainctl.run import assemble
    from trainctl.train import parentage

    run = assemble.assemble(checked, parents=parentage.find(checked))
    sizes = finder.batch_sizes(run, most)
    if not sizes:
        raise ConfigError(f"max_size={most}: a batch norm needs larger batches, or fewer loop.micro_batches")
    speeds = list(finder.speeds(run, sizes, seconds))
    suggested, fitting = finder.suggest(speeds), [speed for speed in speeds if speed.fits]
    fastest, largest = max(fitting, key=lambda speed: speed.rate), fitting[-1]
    notes = {fastest.size: "fastest"} | {speed.size: "out of memory" for speed in speeds if not speed.fits}
    rows = [
        [
            f"{speed.size}{'*' if speed is suggested else ' '}",
            f"{1000 * speed.seconds:.3g}" if speed.fits else "-",
            f"{speed.rate:,.0f}" if speed.fits else "-",
            notes.get(speed.size, ""),
        ]
        for speed in speeds
    ]
    table.show(["batch size", "ms/step", "samples/s", ""], rows, right=("batch size", "ms/step", "samples/s"))
    end = "the largest that fits" if not speeds[-1].fits else "the largest tried; it fits"
    table.line()
    table.line(f"{largest.size} is {end}; suggested: {suggested.size} (*)")
    advise(suggested.size, run.plan.batch_size, [*arguments.words_of(parsed.config_dir), *parsed.overrides])
    return 0


def advise(size: int, before: int, overrides: Sequence[str]) -> None:
    """Print the command that uses a batch size, and how to adapt the learning rate."""
    others = [override for override in overrides if not override.startswith("loop.batch_size=")]
    setting = f"loop.batch_size={size}"
    table.line()
    table.line(f"Use: {shell_words(['trainctl', setting, *others])}")
    if size != before:
        factor = size / before
        find_lr = shell_words(["trainctl", "find-lr", setting, *others])
        table.line(
            f"The learning rate was set for batches of {before}: multiply it by {factor:.3g} for SGD (Goyal et al., 2017),"
        )
        table.line(f"by about {math.sqrt(factor):.3g} for Adam-like optimizers, or run: {find_lr}")
