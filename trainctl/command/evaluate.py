"""Evaluate a run's best weights on a split.

    trainctl evaluate RUN [split=test] [which=best] [dataset settings] [device=...] [format=text|json] [root=runs]

RUN is a run's directory, its name, or a part of the name; without it, the newest run. Cleaning and scaling are used
as they were fitted in training.

    trainctl evaluate runs/my-run
    trainctl evaluate my-run split=val which=last
    trainctl evaluate my-run metric=[f1,auc]              other metrics; see `trainctl list metric`
    trainctl evaluate my-run dataset.root=/other/files    the same data set in another directory
    trainctl evaluate my-run dataset=fashion_mnist        another data set with rows of the same shape
    trainctl evaluate my-run dataset.path=new.csv split=all    every row of another file

Another file is split in the same way as the run's own: split=test measures only its test rows, split=all every row. On
the run's own data, split=all includes the rows that it was trained with.

Prints each metric as `split/name`; for a classification also precision, recall and F1 of each class. Writes no files.
"""

import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.command import arguments, launching, option_values
from trainctl.report import phrases, table
from trainctl.settings import compose, existing
from trainctl.settings.config import Tree
from trainctl.store import rundir
from trainctl.wording import amount

if TYPE_CHECKING:
    launching.import_torch()
    from trainctl.finished.evaluate import Scores

OPTIONS = {"split": "test", "which": "best", "format": "text", "root": "runs"}
CHOICES = {"split": ("train", "val", "test", "all"), "which": ("best", "last"), "format": ("text", "json")}
ALLOWED = ("dataset.", "device", "loop.eval_batch_size")
SCORES = ("precision", "recall", "f1")
ERRORS = ("mae", "rmse", "r2")


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and evaluate; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True, composes=True, one_process="evaluate")
    options: dict[str, Any] = {key: option_values.choice(key, parsed.options[key], CHOICES[key]) for key in CHOICES}
    directory = rundir.find(parsed.names[0] if parsed.names else None, Path(parsed.options["root"]))
    packages, overrides = arguments.packages(parsed.overrides)
    change = partial(other_data, config_dir=parsed.config_dir)
    launching.require_allowed(directory, packages, overrides, ALLOWED, change)
    from trainctl.finished.evaluate import as_json, evaluate
    from trainctl.finished.open import open as open_run

    split, which = options["split"], options["which"]
    run = open_run(
        directory,
        packages,
        overrides,
        ALLOWED,
        change=change,
        payloads=[which],
    )
    scores = evaluate(run, split, which)
    if not scores.own_data:
        part = "" if split == "all" else f"; split={split} is only a part of it: use split=all to measure every row"
        table.line(f"trainctl: note: this is not the data that the run was trained with{part}", stream=sys.stderr)
    for line in (*run.notes, *(f"note: {note}" for note in scores.notes)):
        table.line(f"trainctl: {line}", stream=sys.stderr)
    if options["format"] == "json":
        table.json({"run": str(directory), "split": split} | as_json(scores), indent=None)
    else:
        show(scores, split, directory.name)
    return 0


def other_data(tree: Tree, overrides: Sequence[str], allowed: Sequence[str], config_dir: str | None = None) -> Tree:
    """Return the run's configuration with other metrics, another data set, or other settings of its own data set."""
    if metrics := [word for word in overrides if word.startswith(("metric=", "metric."))]:
        packages = [f"components=[{','.join(tree['components'])}]"]
        chosen = compose.compose([*packages, *metrics], config_dir).tree["metric"]
        tree = tree | {"metric": chosen}
        overrides = [word for word in overrides if word not in metrics]
    choice = [word for word in overrides if word.startswith("dataset=")]
    if choice:
        settings = [word for word in overrides if word.startswith("dataset.")]
        packages = [f"components=[{','.join(tree['components'])}]"]
        tree = tree | {"dataset": compose.compose([*packages, *choice, *settings], config_dir).tree["dataset"]}
        overrides = [word for word in overrides if word not in choice and word not in settings]
    return existing.change(tree, overrides, allowed)


def show(scores: "Scores", split: str, name: str) -> None:
    """Print the metrics, and a table of the scores of the classes or of several targets."""
    table.line(f"{name}: step {scores.step}, {amount(scores.rows, 'row')} of {split}")
    metrics = [[metric, _shown(value)] for metric, value in scores.metrics.items()]
    table.show(["metric", "value"], metrics, right={"value"})
    if scores.classes:
        table.line()
        classes = [
            [scored.name, str(scored.rows), *(phrases.number(getattr(scored, key)) for key in SCORES)]
            for scored in scores.classes
        ]
        table.show(["class", "rows", *SCORES], classes, right={"rows", *SCORES})
    if scores.targets:
        table.line()
        targets = [[one.name, *(_shown(getattr(one, key)) for key in ERRORS)] for one in scores.targets]
        table.show(["target", *ERRORS], targets, right=ERRORS)


def _shown(value: float | None) -> str:
    """Format a metric; R2 of a single row is undefined."""
    return "undefined" if value is None or math.isnan(value) else phrases.number(value)
