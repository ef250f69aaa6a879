"""Explain what a run predicts: attributions of rows, or an overview of the run.

    trainctl explain RUN INPUT... [method=integrated_gradients|saliency|occlusion] [class=...] [target=...]
        [score=log_odds|logit|probability] [baseline=...] [steps=1024] [patch=...] [rows=6] [id=COLUMN]
        [spreadsheet=false] [output=DIR] [which=best] [dataset settings] [device=...] [root=runs]
    trainctl explain RUN [split=test] [repeats=5] [embedding=pca|tsne] [rows=12] [output=DIR] [which=best] [device=...]
    trainctl explain optimizer.lr                   a setting, as `trainctl settings optimizer.lr` does

RUN is a run's directory, its name, or a part of the name. INPUT is what `trainctl predict` reads: images, a table, an
array, texts, or a directory of such files.

    trainctl explain my-run digit.png                which pixels speak for the predicted class
    trainctl explain my-run digit.png class=7        ... and which for another one
    trainctl explain my-run rows.csv id=customer     which columns, for each row
    trainctl explain my-run reviews.txt method=occlusion
    trainctl explain my-run                          what the run relies on, its worst mistakes, its calibration

With INPUT, each column, pixel or token of a row gets a number, its attribution. It explains the log-odds of the
predicted class, log(p / (1 - p)), or those of class=; with score=, its logit or its probability. For a regression, it
explains a target in its unit, and for an autoencoder the mean squared error of its reconstruction. Columns that encode
one category are added, as are the channels of a pixel and the numbers of a token's embedding.

A row is compared with a baseline, which is named in the output: the mean of the training rows for tables and series
(baseline=mean; or zero), a black image (black; or mean), a text of padding (padding; or unknown tokens: unknown).

  integrated_gradients   attributions that add up to the difference from the baseline, F(x) - F(x'). Both are printed.
                         The number of steps doubles until they agree to 1 % (or, where attributions of both signs
                         cancel, to 0.1 % of the sum of their sizes), up to steps=; if they do not, a note says so.
  saliency               the size of the gradient: what the prediction is most sensitive to, in scaled units
  occlusion              the drop in F if a column, a token or a square of patch= pixels is replaced by the baseline

Without INPUT, the run's own data is read. For rows of split=, this measures how much worse the metric gets if the
values of a column (or of a square of pixels) are shuffled (method=permutation), `repeats` times; it draws the worst
mistakes, the filters of the first layer, the codes of the rows (`predict what=code`) in two dimensions, and how well
probabilities match frequencies (calibration), with the expected calibration error.

Writes a new directory: RUN/explain/1, RUN/explain/2, ..., or DIR, which must not exist. It contains PNG files, CSV
files with all numbers, and explain.json. Nothing else in the run is changed.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.place import check_file, is_directory
from trainctl.report import setting_table, table
from trainctl.settings import component, config, explained
from trainctl.store import new_folder, rundir, runpath
from trainctl.store.runpath import AnyPath
from trainctl.wording import agree, amount, closest

if TYPE_CHECKING:
    launching.import_torch()
    from trainctl.finished.explained import Explained
    from trainctl.finished.open import Finished
    from trainctl.finished.overview import Overview

OF_ROWS = {
    "class": "", "target": "", "score": "", "baseline": "", "steps": "1024", "patch": "", "id": "",
}  # fmt: skip
OF_A_RUN = {"split": "test", "repeats": "5", "embedding": "pca"}
OPTIONS = {
    "method": "",
    "rows": "",
    "output": "",
    "spreadsheet": "false",
    "which": "best",
    "root": "runs",
    **OF_ROWS,
    **OF_A_RUN,
}
METHODS = ("integrated_gradients", "saliency", "occlusion", "permutation")
SCORES = ("log_odds", "logit", "probability")
# Settings of a table say how this file is written, as for predict.
OF_A_FILE = ("delimiter", "encoding", "header", "decimal", "thousands", "dates", "missing", "skip", "unknown")
ANYWHERE = ("device", "threads", "loop.eval_batch_size", "dataset.root", "dataset.path", "dataset.download")
FOLDER = "explain"  # in a run
SHOWN = 20  # rows or columns that are printed
MOST_STEPS, MOST_PATCH, MOST_ROWS, MOST_REPEATS = 4096, 1 << 16, 100, 1000


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and explain; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv), overrides=True, one_process="explain")
    if not parsed.names:
        raise ConfigError("explain needs a run: trainctl explain RUN [INPUT]")
    if _is_setting(parsed.names[0]) and not os.path.lexists(parsed.names[0]):
        if len(parsed.names) > 1:
            raise ConfigError(f"{parsed.names[0]}: is a setting, not a run, so nothing can follow it")
        setting_table.show(explained.explain(parsed.names[0], parsed.overrides))
        return 0
    options = checked(parsed.options, with_input=len(parsed.names) > 1)
    directory = rundir.find(parsed.names[0], Path(parsed.options["root"]))
    given = [Path(name) for name in parsed.names[1:]]
    target = option_values.new_path("output", parsed.options["output"])
    for path in given:
        if not is_directory(path):
            check_file(path)
    packages, overrides = arguments.packages(parsed.overrides)
    allowed = (*ANYWHERE, *(f"dataset.{key}" for key in OF_A_FILE if given))
    launching.require_allowed(directory, packages, overrides, allowed)
    where = target or runpath.hold(directory) / FOLDER
    with new_folder.filled(where, numbered=target is None) as filling:
        launching.import_torch()
        from trainctl.finished.open import open as open_run

        run = open_run(directory, packages, overrides, allowed, payloads=[options["which"]])
        rows = _rows(run, given, options, filling.folder) if given else None
        overview = None if given else _run(run, options, filling.folder)
    found = rows or overview
    assert found is not None
    table.line(f"trainctl: wrote {filling.path}: {', '.join(found.pictures)}", stream=sys.stderr)
    for note in (*run.notes, *(f"note: {note}" for note in found.notes)):
        table.line(f"trainctl: {note}", stream=sys.stderr)
    return _failures(rows.failed, rows.files) if rows else 0


def _is_setting(word: str) -> bool:
    """Return whether a word is a setting, or a misspelt one, such as ``optimiser.lr``."""
    first, dot, _ = word.partition(".")
    return arguments.is_setting(word) or bool(dot and closest(first, (*component.GROUPS, *config.SECTIONS)))


def checked(typed: dict[str, str], *, with_input: bool) -> dict[str, Any]:
    """Return the options, checked; those that belong to the other kind of explanation are refused.

    Raises:
        ConfigError: If an option is wrong, or does not apply with, or without, an input.
    """
    for key, usual in (OF_A_RUN if with_input else OF_ROWS).items():
        if typed[key] != usual:
            where = (
                "leave INPUT out: it is for the rows of a run"
                if with_input
                else "give an INPUT: it is for rows of files"
            )
            raise ConfigError(f"{key}={typed[key]}: does not apply here; {where}")
    if typed["method"]:
        method = option_values.choice("method", typed["method"], METHODS)
        if (method == "permutation") == with_input:
            raise ConfigError(
                f"method={method}: "
                + ("needs rows with known targets: leave INPUT out" if with_input else "explains rows: give an INPUT")
            )
    if typed["score"]:
        option_values.choice("score", typed["score"], SCORES)
    if typed["patch"] and typed["method"] != "occlusion":
        raise ConfigError(f"patch={typed['patch']}: only method=occlusion covers squares of an image")
    option_values.choice("spreadsheet", typed["spreadsheet"], ("true", "false"))
    return typed | {
        "method": typed["method"] or METHODS[0],
        "which": option_values.choice("which", typed["which"], ("best", "last")),
        "split": option_values.choice("split", typed["split"], ("train", "val", "test")),
        "embedding": option_values.choice("embedding", typed["embedding"], ("pca", "tsne")),
        "steps": _count("steps", typed["steps"], MOST_STEPS),
        "rows": _count("rows", typed["rows"] or ("6" if with_input else "12"), MOST_ROWS),
        "repeats": _count("repeats", typed["repeats"], MOST_REPEATS),
        "patch": _count("patch", typed["patch"], MOST_PATCH) if typed["patch"] else None,
        "id": tuple(name for name in typed["id"].split(",") if name),
    }


def _count(key: str, text: str, most: int) -> int:
    """Return a whole number in [1, most]."""
    count = option_values.integer(key, text, 1)
    if count > most:
        raise ConfigError(f"{key}={text}: expected a whole number in [1, {most}]")
    return count


def _rows(run: "Finished", given: Sequence[Path], options: dict[str, Any], folder: AnyPath) -> "Explained":
    """Explain the rows of files, and print how well their attributions add up."""
    from trainctl.finished.explain_rows import explain
    from trainctl.finished.explained import Options

    asked = Options(
        method=options["method"], score=options["score"], class_name=options["class"],
        target=options["target"], baseline=options["baseline"], most_steps=options["steps"], patch=options["patch"],
        drawn=options["rows"], ids=options["id"], spreadsheet=options["spreadsheet"] == "true",
    )  # fmt: skip
    found = explain(run, given, options["which"], asked, folder)
    show_rows(found)
    return found


def show_rows(found: "Explained") -> None:
    """Print what is explained of each row; of many rows the first."""
    table.line(f"F: {found.unit}; baseline x': {found.baseline}")
    integrated = found.options.method == METHODS[0]
    sums = ["sum", "off by", "steps"] if integrated else []
    files = len({row.label.get("file") for row in found.rows}) > 1
    places = ["file", "row"] if files else ["row"]
    headers = [*places, "prediction", "explained", "F(x)", "F(x')", "F(x)-F(x')", *sums]
    lines = []
    for row in found.rows[:SHOWN]:
        cells = [*(str(row.label.get(name, "")) for name in places), row.predicted or "-", row.explained or "-"]
        cells += [table.number(value) for value in (row.score, row.base, row.score - row.base)]
        cells += [table.number(row.sum), _percent(row.gap), str(row.steps)] if integrated else []
        lines.append(cells)
    table.show(headers, lines, right={"row", "F(x)", "F(x')", "F(x)-F(x')", *sums})
    if len(found.rows) > SHOWN:
        table.line(f"... and {amount(len(found.rows) - SHOWN, 'more row')}: see rows.csv")


def _percent(gap: float) -> str:
    return f"{gap:.2%}" if gap < 10 else "> 1000%"


def _failures(failed: Sequence[DataError], files: int) -> int:
    """Print the errors of files that cannot be read; return the exit code."""
    if not failed:
        return 0
    for error in failed:
        table.line(f"trainctl: {error}", stream=sys.stderr)
    table.line(
        f"trainctl: {len(failed):,} of {amount(files, 'file')} {agree(len(failed), 'is', 'are')} not explained, for the reasons above",
        stream=sys.stderr,
    )
    return DataError.exit_code


def _run(run: "Finished", options: dict[str, Any], folder: AnyPath) -> "Overview":
    """Explain a run as a whole, and print the importances and the calibration."""
    from trainctl.finished.explain_run import explain

    found = explain(
        run, options["split"], options["which"], folder,
        repeats=options["repeats"], embedding=options["embedding"], shown=options["rows"],
        spreadsheet=options["spreadsheet"] == "true",
    )  # fmt: skip
    show_run(found)
    return found


def show_run(found: "Overview") -> None:
    """Print the importance of columns, the worst mistakes in short, and the calibration error."""
    table.line(f"{amount(found.rows, 'row')} of {found.split}")
    if found.importances:
        ranked = sorted(found.importances, key=lambda one: -one.mean)
        lines = [[one.name, table.number(one.mean), table.number(one.spread)] for one in ranked[:SHOWN]]
        table.show([found.shuffled, found.effect, "spread"], lines, right={found.effect, "spread"})
        if len(ranked) > SHOWN:
            table.line(f"... and {len(ranked) - SHOWN:,} more: see importance.csv")
    for line in found.lines:
        table.line(line)
