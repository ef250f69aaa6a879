"""Find a learning rate: train a copy while the rate rises, and watch the loss.

    trainctl find-lr [overrides] [min_lr=1e-7] [max_lr=10] [steps=100] [output=FILE.png]

The range test of L. Smith (2017): the rate rises exponentially from min_lr to max_lr, one batch a step, until
the loss diverges. The suggestion is a tenth of the rate where the smoothed loss is lowest (S. Gugger, 2018):
the lowest point itself is at the edge of diverging. It is a start, not a measurement of the best rate.

    trainctl find-lr
    trainctl find-lr model=cnn optimizer=sgd augment=[crop,flip]
    trainctl find-lr recipe=mnist_cnn loop.batch_size=512 output=lr.png
    trainctl find-lr optimizer=sgd min_lr=1e-5 max_lr=100 steps=300

Takes every override that training takes; the schedule is left out. Prints the curve and the command that uses
the suggestion. Writes nothing but the PNG, if output= is given; it must not be there yet.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.command import arguments as words
from trainctl.errors import ConfigError, StorageError
from trainctl.report import table
from trainctl.settings import compose

if TYPE_CHECKING:
    from trainctl.measure.learning_rate import Curve

OPTIONS = {"min_lr": "1e-7", "max_lr": "10", "steps": "100", "output": ""}
FEWEST_STEPS = 10
ROWS = 20  # of the curve, at most
WIDTH = 40  # characters of the longest bar
FALL = 0.02  # share of its start that the loss has to fall for a suggestion


def main(arguments: Sequence[str]) -> int:
    """Check everything, then import torch and measure."""
    given = words.read(arguments, OPTIONS, most_names=0, overrides=True)
    lowest, highest = rate("min_lr", given.options["min_lr"]), rate("max_lr", given.options["max_lr"])
    steps = words.whole("steps", given.options["steps"], FEWEST_STEPS)
    if lowest >= highest:
        raise ConfigError(f"min_lr={lowest:g} must be below max_lr={highest:g}")
    output = given.options["output"]
    if output and Path(output).exists():
        raise StorageError(f"output={output}: is there already")
    checked = compose.compose(given.overrides)
    optimizer = checked.parts["optimizer"]
    if "lr" not in optimizer:
        raise ConfigError(f"optimizer={optimizer['name']} has no setting lr, so there is nothing to find")
    from trainctl.measure import learning_rate as finder
    from trainctl.run import assemble

    curve = finder.range_test(assemble.assemble(checked), lowest, highest, steps)
    if len(curve.rates) < 3:
        raise ConfigError(f"the loss diverged at once: give a smaller min_lr than {lowest:g}")
    show(curve)
    if curve.fall < FALL:
        raise ConfigError(
            f"the loss did not fall between {lowest:g} and {highest:g}: give a larger max_lr, or more steps"
        )
    table.line(
        f"\nlowest at {curve.rates[curve.lowest]:.1e}, steepest at {curve.rates[curve.steepest]:.1e};"
        f" suggested: {curve.suggestion:g}, a tenth of the lowest"
    )
    if output:
        from trainctl.report import plots

        plots.range_test(curve.rates, curve.losses, curve.smoothed, curve.suggestion, Path(output))
        table.line(f"curve: {output}")
    chosen = rates(optimizer, curve.suggestion)
    others = [word for word in given.overrides if word.partition("=")[0] not in chosen]
    words_of_rates = [f"{key}={value:g}" for key, value in chosen.items()]
    table.line(f"\nUse: {shlex.join(['trainctl', *words_of_rates, *others])}")
    return 0


def rate(key: str, text: str) -> float:
    """Read a learning rate.

    Raises:
        ConfigError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ConfigError(f"{key}={text}: expected a number in (0, inf)")
    return value


def rates(optimizer: Mapping[str, Any], lr: float) -> dict[str, float]:
    """Return all learning rates that go with one: the range test moves an optimizer's rates together.

    >>> rates({"name": "muon", "lr": 0.02, "adamw_lr": 0.0003, "momentum": 0.95}, 0.08)
    {'optimizer.lr': 0.08, 'optimizer.adamw_lr': 0.0012}
    """
    keys = [key for key in optimizer if key == "lr" or key.endswith("_lr")]
    return {f"optimizer.{key}": float(f"{lr * optimizer[key] / optimizer['lr']:.2g}") for key in keys}


def show(curve: "Curve") -> None:
    """Print the smoothed loss over the rate, as bars."""
    count = len(curve.rates)
    marks = {curve.lowest: "lowest", curve.steepest: "steepest"}
    shown = sorted({*range(0, count, max(1, math.ceil(count / ROWS))), *marks, count - 1})
    bottom, top = min(curve.smoothed), max(curve.smoothed[: curve.lowest + 1])
    rows = [
        [
            f"{curve.rates[index]:.1e}",
            table.number(curve.smoothed[index]),
            bar((curve.smoothed[index] - bottom) / ((top - bottom) or 1.0)),
            marks.get(index, ""),
        ]
        for index in shown
    ]
    table.show(["lr", "loss", "smoothed loss", ""], rows, right=("lr", "loss"))


def bar(share: float) -> str:
    """Draw a share as a bar; what is above the scale ends in an arrow.

    >>> bar(0.1), bar(1.7)[-3:]
    ('####', '##>')
    """
    return "#" * WIDTH + ">" if share > 1 else "#" * max(1, round(share * WIDTH))
