"""Suggest a learning rate: train briefly with a rising rate, and record the loss.

    trainctl find-lr [FILE] [overrides] [min_lr=1e-7] [max_lr=10] [steps=100] [output=FILE.png]

This is the range test of L. Smith (2017): the rate rises exponentially from min_lr to max_lr, one batch per step,
until the loss diverges. The suggestion is a tenth of the rate at which the smoothed loss is lowest (S. Gugger,
2018), because at the lowest point training is about to diverge. It is a starting point, not the best rate.

    trainctl find-lr
    trainctl find-lr model=cnn optimizer=sgd augment=[crop,flip]
    trainctl find-lr penguins.csv
    trainctl find-lr recipe=mnist_cnn loop.batch_size=512 output=lr.png
    trainctl find-lr optimizer=sgd min_lr=1e-5 max_lr=100 steps=300

It accepts every FILE and override that training accepts, and ignores the schedule. It prints the curve and the
command that uses the suggestion. It writes no file except the PNG named by output=, which must not exist yet.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError
from trainctl.report import phrases, table
from trainctl.settings import early, project
from trainctl.settings.config import Config
from trainctl.wording import shell_words

if TYPE_CHECKING:
    launching.import_torch()
    from trainctl.measure.learning_rate import Curve

OPTIONS = {"min_lr": "1e-7", "max_lr": "10", "steps": "100", "output": ""}
FEWEST_STEPS = 10
ROWS = 20  # maximum number of rows of the printed curve
WIDTH = 40  # characters of the longest bar
FALL = 0.02  # the loss must fall by this fraction of its first value, or no rate is suggested


def main(argv: Sequence[str]) -> int:
    """Check all arguments, import torch and measure; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=0, overrides=True, composes=True)
    lowest, highest = (option_values.number(key, parsed.options[key], 0, math.inf) for key in ("min_lr", "max_lr"))
    steps = option_values.integer("steps", parsed.options["steps"], FEWEST_STEPS)
    if lowest >= highest:
        raise ConfigError(f"min_lr={lowest:g} must be below max_lr={highest:g}")
    output = option_values.new_picture("output", parsed.options["output"])
    checked = project.composed(parsed.overrides, parsed.config_dir)[0]
    early.require_data(checked)
    launching.require_one_process(checked, "find-lr")
    require_rate(checked)
    from trainctl.measure import learning_rate as finder
    from trainctl.run import assemble
    from trainctl.train import parentage

    curve = finder.range_test(assemble.assemble(checked, parents=parentage.find(checked)), lowest, highest, steps)
    if len(curve.rates) < 3:
        raise ConfigError(f"the loss diverged immediately: use a min_lr below {lowest:g}")
    show(curve)
    if curve.fall < FALL:
        raise ConfigError(
            f"the loss did not fall between {lowest:g} and {highest:g}: use a larger max_lr or more steps"
        )
    table.line()
    table.line(
        f"lowest at {curve.rates[curve.lowest]:.1e}, steepest at {curve.rates[curve.steepest]:.1e};"
        f" suggested: {curve.suggestion:g}, a tenth of the lowest"
    )
    if output:
        from trainctl.report import about, plots

        what = about.about(str(checked.parts["model"]["name"]), checked.parts["dataset"], "train")
        plots.range_test(curve.rates, curve.losses, curve.smoothed, curve.suggestion, output, what)
        table.line(f"curve: {output}")
    suggested = rates(checked.parts["optimizer"], curve.suggestion)
    others = [override for override in parsed.overrides if override.partition("=")[0] not in suggested]
    settings = [f"{key}={value:g}" for key, value in suggested.items()]
    table.line()
    table.line(f"Use: {shell_words(['trainctl', *arguments.words_of(parsed.config_dir), *settings, *others])}")
    return 0


def rates(optimizer: Mapping[str, Any], lr: float) -> dict[str, float]:
    """Scale all learning rates of an optimizer so that the first one is ``lr``; the range test changes them together.

    >>> rates({"name": "muon", "lr": 0.02, "adamw_lr": 0.0003, "momentum": 0.95}, 0.08)
    {'optimizer.lr': 0.08, 'optimizer.adamw_lr': 0.0012}
    """
    keys = [key for key in optimizer if key == "lr" or key.endswith("_lr")]
    return {f"optimizer.{key}": float(f"{lr * optimizer[key] / optimizer['lr']:.2g}") for key in keys}


def require_rate(checked: Config) -> None:
    """Check that the optimizer has a learning rate.

    Raises:
        ConfigError: If it finds its own.
    """
    optimizer = checked.parts["optimizer"]
    if "lr" not in optimizer:
        raise ConfigError(f"optimizer={optimizer['name']} has no setting lr, so there is no learning rate to suggest")


def show(curve: "Curve") -> None:
    """Print the smoothed loss at each rate, as bars."""
    count = len(curve.rates)
    marks = {curve.lowest: "lowest", curve.steepest: "steepest"}
    shown = sorted({*range(0, count, max(1, math.ceil(count / ROWS))), *marks, count - 1})
    bottom, top = min(curve.smoothed), max(curve.smoothed[: curve.lowest + 1])
    rows = [
        [
            f"{curve.rates[index]:.1e}",
            phrases.number(curve.smoothed[index]),
            bar((curve.smoothed[index] - bottom) / ((top - bottom) or 1.0)),
            marks.get(index, ""),
        ]
        for index in shown
    ]
    table.show(["lr", "loss", "smoothed loss", ""], rows, right=("lr", "loss"))


def bar(fraction: float) -> str:
    """Draw a fraction as a bar; a bar that exceeds the scale ends in an arrow.

    >>> bar(0.1), bar(1.7)[-3:]
    ('####', '##>')
    """
    return "#" * WIDTH + ">" if fraction > 1 else "#" * max(1, round(fraction * WIDTH))
