"""Gather the page of several runs: settings that differ, curves over each other, and which differences are distinguishable."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainctl.errors import CheckpointError, DataError
from trainctl.fileformat import fingerprints
from trainctl.finished import distinguish, record
from trainctl.finished.differing import differing
from trainctl.finished.open import open as open_run
from trainctl.finished.record import Record, metric_columns, rises
from trainctl.finished.report import facts
from trainctl.finished.report.facts import Files
from trainctl.finished.report.measured import Measured, measure
from trainctl.finished.report.run_page import Gathered
from trainctl.report import about, curve_charts, phrases
from trainctl.report.document import Block, Charts, Document, Prose, Section, Table
from trainctl.store import runpath
from trainctl.wording import shortened

LONGEST = 120  # characters of a setting
MOST_CHARTS = 12
ROWS = {"classification": "accuracy", "regression": "mae", "reconstruction": "rmse"}
FEWER = (
    "Intervals and tests say what other test rows of the same kind would change. They do not account for other seeds."
)


def gather(
    directories: Sequence[Path],
    root: Path,
    packages: Sequence[str],
    overrides: Sequence[str],
    allowed: Sequence[str],
    *,
    split: str,
    which: str,
) -> Gathered:
    """Return the page of several runs.

    Args:
        directories: Of the runs, at least two different ones.
        root: The directory that names are relative to.
        packages: Packages of the user's components.
        overrides: ``key=value`` words that change where the data are.
        allowed: Keys that may change.
        split: The split whose rows are compared; empty to choose it.
        which: The weights: ``best`` or ``last``.

    Raises:
        ConfigError: If a word does not belong to the runs.
    """
    records = [record.read(path, root) for path in directories]
    files = [facts.read(runpath.hold(path), one) for path, one in zip(directories, records, strict=True)]
    data = dict.fromkeys(about.data_name(each.dataset) for each in files)
    document = Document(
        "runs", " · ".join(each.name for each in files[:4]) + (" · ..." if len(files) > 4 else ""),
        f"{len(files)} runs on {', '.join(data)}.", made_by=facts.signature(),
    )  # fmt: skip
    found = Gathered(document)
    measured: list[Measured] = []
    for path in directories:
        try:
            run = open_run(path, packages, overrides, allowed, payloads=[which])
            measured.append(measure(run, split, which))
            found.notes += [f"{path.name}: {note}" for note in run.notes]
        except (DataError, CheckpointError) as error:
            found.trouble = error
            found.notes.append(f"{path.name}: {error}")
    comparable = not fingerprints.differ(each.record.fingerprint for each in files)
    if not comparable:
        document.top.append(
            Prose("These runs were trained on different data: their metrics are not comparable.", "warning")
        )
    names = labels(files)
    document.sections = [
        Section("Results", [_results(files, names, comparable=comparable)]),
        Section("Distinguishable?", _verdicts(files, names, measured, comparable=comparable)),
        Section("Settings that differ", [_settings(records, names)]),
        Section("Curves", [Charts(charts(files, names))]),
        Section(
            "Reproduce", [block for name, each in zip(names, files, strict=True) for block in _commands(name, each)]
        ),
    ]
    return found


def labels(files: Sequence[Files]) -> list[str]:
    """Return a name for each run, all different."""
    names = [each.name for each in files]
    return names if len(set(names)) == len(names) else [str(each.directory.path) for each in files]


def _commands(name: str, files: Files) -> list[Block]:
    return [Prose(name, "strong"), *facts.commands(files).blocks[:1]]


def charts(files: Sequence[Files], names: Sequence[str]) -> list[Any]:
    """Return the curves of runs over each other."""
    data = ", ".join(dict.fromkeys(about.data_name(each.dataset) for each in files))
    rows = {name: each.evaluations for name, each in zip(names, files, strict=True)}
    return curve_charts.over_each_other(rows, data)[:MOST_CHARTS]


def _results(files: Sequence[Files], names: Sequence[str], *, comparable: bool) -> Table:
    """Return a row for each run, or a column if that is narrower; the best value of each metric has a star."""
    metrics = metric_columns(each.record for each in files)
    columns = []
    for metric in metrics:
        values = [each.record.metrics.get(metric) for each in files]
        known = [value for value in values if value is not None and value == value]
        larger = rises(metric, [each.record for each in files])
        best = (max if larger else min)(known) if comparable and len(set(known)) > 1 else None
        columns.append(
            [f"{phrases.number(value)}{' *' if best is not None and value == best else ''}" for value in values]
        )
    rows = []
    for place, (name, each) in enumerate(zip(names, files, strict=True)):
        cells = [column[place] for column in columns]
        kept = [
            phrases.count(each.record.parameters),
            phrases.epochs(each.record.epochs),
            phrases.duration(each.record.seconds),
        ]
        rows.append([name, each.record.outcome, *cells, *kept])
    headers = ["run", "outcome", *metrics, "parameters", "epochs", "time"]
    caption = "* best" if comparable else ""
    if len(rows) + 1 >= len(headers):
        return Table(headers, rows, frozenset(range(2, len(headers))), caption)
    (_, *turned_headers), *turned = [list(line) for line in zip(headers, *rows, strict=True)]
    return Table(["result", *turned_headers], turned, frozenset(range(1, len(rows) + 1)), caption)


def _settings(records: Sequence[Record], names: Sequence[str]) -> Block:
    rows = [[key, *(shortened(cell, LONGEST) for cell in cells)] for key, cells in differing(records).items()]
    return Table(["setting", *names], rows) if rows else Prose("No settings differ.")


def _verdicts(
    files: Sequence[Files], names: Sequence[str], measured: Sequence[Measured], *, comparable: bool
) -> list[Block]:
    """Return which differences are more than chance: row by row if all runs were measured on the same rows."""
    if not comparable:
        return []
    found: list[distinguish.Verdict] = []
    how = "Row by row, on the same rows"
    if len(measured) == len(files) and _same_rows(measured):
        task = measured[0].results.task
        split = measured[0].split
        losses = {name: _losses(one) for name, one in zip(names, measured, strict=True)}
        found = distinguish.by_rows(f"{split}/{ROWS[task]}", losses)
    if not found:
        metrics = {name: each.record.metrics for name, each in zip(names, files, strict=True)}
        ends = {name: each.summary.intervals for name, each in zip(names, files, strict=True)}
        found, how = distinguish.by_intervals(metrics, ends), "By the intervals of their metrics"
    if not found:
        return [
            Prose("Nothing can be said: the runs were not measured on the same rows, and have no intervals.", "note")
        ]
    lines: list[Block] = [Prose(one.sentence, "strong" if one.distinguishable else "plain") for one in found]
    return [*lines, Prose(f"{how}; 5 % for all comparisons together. {FEWER}", "note")]


def _same_rows(measured: Sequence[Measured]) -> bool:
    """Return whether runs were measured on the same rows, with the same task."""
    first = measured[0]
    targets = None if first.scores is None else first.scores.targets
    for one in measured[1:]:
        if (one.split, one.rows, one.results.task) != (first.split, first.rows, first.results.task):
            return False
        other = None if one.scores is None else one.scores.targets
        if targets is not None and (other is None or other.shape != targets.shape or not np.allclose(other, targets)):
            return False
        both = [each.evaluation.data.schema.fingerprint for each in (first, one)]
        if targets is None and fingerprints.differ(both):
            return False
    return True


def _losses(measured: Measured) -> Any:
    """Return what a run loses on each row: 0 or 1, the absolute error, or the RMSE of the reconstruction."""
    if measured.results.task == "classification":
        return measured.results.wrong.numpy().astype(float)
    if measured.results.task == "reconstruction":
        return measured.results.error.double().numpy()
    assert measured.scores is not None
    return np.abs(measured.scores.predicted - measured.scores.targets).mean(1)
