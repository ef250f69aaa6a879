"""Measure a run's best weights on a split.

    trainctl evaluate RUN [split=test] [which=best] [dataset settings] [device=...] [format=text|json] [root=runs]

RUN is a run's directory, its name, or a part of the name. Cleaning and scaling are as fitted in training.

    trainctl evaluate runs/my-run
    trainctl evaluate my-run split=val which=last
    trainctl evaluate my-run dataset.root=/other/files    the same data set from elsewhere
    trainctl evaluate my-run dataset=fashion_mnist        another data set of the same shape
    trainctl evaluate my-run dataset.path=new.csv split=all    every row of another file

Another file is split as the run's own was: split=test measures its test rows only, split=all every row. Of the run's
own data split=all holds the rows that it was trained with.

Prints each metric as `split/name`, and for classes precision, recall and F1 of each. Writes nothing.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.command import arguments as words
from trainctl.errors import CheckpointError, ConfigError
from trainctl.report import table
from trainctl.settings import compose, existing
from trainctl.settings.config import Tree
from trainctl.settings.spelling import nearest
from trainctl.store import rundir

if TYPE_CHECKING:
    from trainctl.data.rows import SplitName
    from trainctl.run.run import Run

OPTIONS = {"split": "test", "which": "best", "format": "text", "root": "runs"}
CHOICES = {"split": ("train", "val", "test", "all"), "which": ("best", "last"), "format": ("text", "json")}


def main(arguments: Sequence[str]) -> int:
    """Check the words, then import torch and evaluate."""
    given = words.read(arguments, OPTIONS, most_names=1, overrides=True)
    for key, allowed in CHOICES.items():
        if given.options[key] not in allowed:
            raise ConfigError(f"{key}={given.options[key]}: no such choice{nearest(given.options[key], allowed)}")
    directory = rundir.find(given.names[0] if given.names else None, Path(given.options["root"]))
    packages, overrides = words.packages(given.overrides)
    from trainctl.finished import open as reload

    before = reload.tree(directory, packages)
    reload.checked(directory, before)
    after = other_data(before, overrides)
    weights = reload.load(directory, given.options["which"])
    from trainctl.run import assemble
    from trainctl.settings import config
    from trainctl.store import checkpoint

    settings = config.load(after)
    split: Any = given.options["split"]
    try:
        run = assemble.assemble(settings, checkpoint.fitted(weights.tensors), weights.about, whole=split == "all")
    except ConfigError as error:
        if overrides:
            raise
        raise CheckpointError(f"{directory / 'config.yaml'}: {error}") from error
    checkpoint.load_weights(run.average.model, weights.model, directory)
    if run.data.fingerprint != weights.about["fingerprint"]:
        part = "" if split == "all" else f"; split={split} is a part of it, split=all measures every row"
        print(f"trainctl: note: this is not the data that the run was trained with{part}", file=sys.stderr)
    for note in weights.notes:
        print(f"trainctl: {note}", file=sys.stderr)
    report(run, split, weights.step, directory, given.options["format"])
    return 0


def other_data(tree: Tree, overrides: Sequence[str]) -> Tree:
    """Return the run's configuration with another data set, or other settings of its own."""
    chosen = [word for word in overrides if word.startswith("dataset=")]
    if chosen:
        inside = [word for word in overrides if word.startswith("dataset.")]
        packages = [f"components=[{','.join(tree['components'])}]"]
        tree = tree | {"dataset": compose.compose([*packages, *chosen, *inside]).tree["dataset"]}
        overrides = [word for word in overrides if word not in chosen and word not in inside]
    return existing.change(tree, overrides, ("dataset.", "device", "loop.eval_batch_size"))


def report(run: "Run", split: "SplitName", step: int, directory: Path, style: str) -> None:
    """Measure, and print."""
    from trainctl.train.evaluation import confusion, evaluate

    if not len(run.data.splits[split]):
        raise ConfigError(f"split={split}: the data has no such rows")
    found = evaluate(run, split)
    counts = confusion(run, split) if run.task == "classification" else []
    classes = [by_class(name, index, counts) for index, name in enumerate(run.data.class_names)] if counts else []
    if style == "json":
        print(
            json.dumps(
                {
                    "run": str(directory),
                    "split": split,
                    "step": step,
                    "rows": len(run.data.splits[split]),
                    "metrics": found,
                    "classes": classes,
                }
            )
        )
        return
    table.line(f"{directory.name}: step {step}, {len(run.data.splits[split]):,} rows of {split}")
    table.show(["metric", "value"], [[name, table.number(value)] for name, value in found.items()], right={"value"})
    if classes:
        table.line()
        rows = [
            [row["class"], str(row["rows"]), *(table.number(row[key]) for key in ("precision", "recall", "f1"))]
            for row in classes
        ]
        table.show(["class", "rows", "precision", "recall", "f1"], rows, right={"rows", "precision", "recall", "f1"})


def by_class(name: str, index: int, counts: list[list[int]]) -> dict[str, Any]:
    """Return a class's rows, precision, recall and F1; None where there is nothing to divide by."""
    hits, rows, predicted = counts[index][index], sum(counts[index]), sum(row[index] for row in counts)
    return {
        "class": name,
        "rows": rows,
        "precision": hits / predicted if predicted else None,
        "recall": hits / rows if rows else None,
        "f1": 2 * hits / (rows + predicted) if rows + predicted else None,
    }
