"""Find a batch size: the largest that fits in memory, and the fastest.

    trainctl find-batch-size [overrides] [max_size=N] [seconds=0.5]

Times optimizer steps with 1, 2, 4, ... rows, up to the training split or `max_size`, on a copy in memory, and stops
where memory runs out. Suggests the smallest batch that trains at least 95 % as many rows a second as the
fastest: larger ones gain no speed, and take fewer steps an epoch.

    trainctl find-batch-size
    trainctl find-batch-size model=cnn device=cpu
    trainctl find-batch-size recipe=mnist_cnn max_size=4096 seconds=2

Takes every override that training takes. Each size is measured for about `seconds`. Another batch size wants
another learning rate: see the note below the table. Writes nothing.
"""

import math
import shlex
from collections.abc import Sequence

from trainctl.command import arguments as words
from trainctl.errors import ConfigError
from trainctl.report import table
from trainctl.settings import compose

OPTIONS = {"max_size": "", "seconds": "0.5"}


def main(arguments: Sequence[str]) -> int:
    """Check everything, then import torch and measure."""
    given = words.read(arguments, OPTIONS, most_names=0, overrides=True)
    most = words.whole("max_size", given.options["max_size"], 1) if given.options["max_size"] else None
    seconds = duration(given.options["seconds"])
    checked = compose.compose(given.overrides)
    from trainctl.measure import learning_rate as finder
    from trainctl.run import assemble

    run = assemble.assemble(checked)
    sizes = finder.batch_sizes(run, most)
    if not sizes:
        raise ConfigError(f"max_size={most}: a batch norm needs larger batches, or fewer loop.micro_batches")
    found = list(finder.speeds(run, sizes, seconds))
    chosen, fitting = finder.suggest(found), [speed for speed in found if speed.fits]
    fastest, largest = max(fitting, key=lambda speed: speed.rate), fitting[-1]
    notes = {fastest.size: "fastest"} | {speed.size: "no memory" for speed in found if not speed.fits}
    rows = [
        [
            f"{speed.size}{'*' if speed is chosen else ' '}",
            f"{1000 * speed.seconds:.3g}" if speed.fits else "-",
            f"{speed.rate:,.0f}" if speed.fits else "-",
            notes.get(speed.size, ""),
        ]
        for speed in found
    ]
    table.show(["batch size", "ms a step", "samples/s", ""], rows, right=("batch size", "ms a step", "samples/s"))
    end = "the largest that fits" if not found[-1].fits else "the largest tried; it fits"
    table.line(f"\n{largest.size} is {end}; suggested: {chosen.size} (*)")
    advise(chosen.size, run.plan.batch_size, given.overrides)
    return 0


def duration(text: str) -> float:
    """Read a time [s].

    Raises:
        ConfigError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 3600:
        raise ConfigError(f"seconds={text}: expected a number in (0, 3600]")
    return value


def advise(size: int, before: int, overrides: Sequence[str]) -> None:
    """Print the command that uses a size, and what it means for the learning rate."""
    others = [word for word in overrides if not word.startswith("loop.batch_size=")]
    choice = f"loop.batch_size={size}"
    table.line(f"\nUse: {shlex.join(['trainctl', choice, *others])}")
    if size != before:
        factor = size / before
        table.line(
            f"The learning rate was for {before} rows: scale it by {factor:.3g} for plain descent (Goyal et al., 2017),\n"
            f"by about {math.sqrt(factor):.3g} for Adam and its kin, or ask: {shlex.join(['trainctl', 'find-lr', choice, *others])}"
        )
