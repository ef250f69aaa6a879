"""Write a page about a run, a sweep, or several runs: one HTML file that needs nothing else.

    trainctl report [RUN] [output=FILE] [split=test] [which=best] [rows=12] [dataset settings] [device=...] [root=runs]
    trainctl report SWEEP [output=FILE] [root=runs]
    trainctl report RUN RUN... [output=FILE] [split=test] [which=best] [root=runs]

RUN and SWEEP are a directory, its name, or a part of the name; without any, the newest run.

    trainctl report                            the newest run
    trainctl report my-run output=my-run.html
    trainctl report my-run rows=40 split=val
    trainctl report 20250101-1200-sweep
    trainctl report seed-0 seed-1 output=both.html

The page of a run shows the settings that differ from the defaults, the data, curves that can be hovered, the learning
rate of each step, metrics with intervals next to those of a trivial model, the confusion matrix or the residuals, the
most confident mistakes as images, texts or lines of the table, forecasts or reconstructions, cost, lineage, and the
commands that repeat it. The page of a sweep has its ranked table, plots, failures, and the command that trains the
winner. The page of several runs has the settings that differ, the curves over each other, and which differences are
distinguishable, row by row.

The page is written to RUN/report.html or SWEEP/report.html and overwrites the previous one; for several runs, to
./report.html. A FILE must not exist. Every chart is also drawn as a PNG file in RUN/plots, with plots/batch.png: the
first training batch as the model sees it. The page loads nothing from elsewhere, so it can be sent and opened as it
is. It contains rows of the data, names of columns and classes, and paths.

If the data have moved: dataset.path=FILE or dataset.root=DIR. If data or weights cannot be read, the page
lacks what the model predicts, and the exit code is that of the error.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError, TrainctlError
from trainctl.report import table
from trainctl.store import directories, files, finding, rundir, runpath
from trainctl.store.runpath import AnyPath, RunPath

if TYPE_CHECKING:
    from trainctl.report.document import Document

OPTIONS = {"output": "", "split": "", "which": "best", "rows": "12", "root": "runs"}
MOST_ROWS = 500
MOST_RUNS = 30  # in a page
PAGE = "report.html"
ELSEWHERE = ("device", "threads", "loop.eval_batch_size", "dataset.root", "dataset.path", "dataset.download")


def main(argv: Sequence[str]) -> int:
    """Check the arguments, and write the page; return the exit code.

    Raises:
        ConfigError: If an argument is wrong.
        CheckpointError: If a run or sweep does not exist.
        StorageError: If the page cannot be written.
    """
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv), overrides=True, one_process="report")
    options, root = parsed.options, Path(parsed.options["root"])
    option_values.choice("which", options["which"], ("best", "last"))
    if options["split"]:
        option_values.choice("split", options["split"], ("train", "val", "test"))
    shown = option_values.integer("rows", options["rows"], 1)
    if shown > MOST_ROWS:
        raise ConfigError(f"rows={shown}: expected a whole number in [1, {MOST_ROWS}]")
    output = option_values.new_path("output", options["output"])
    packages, overrides = arguments.packages(parsed.overrides)
    if len(parsed.names) == 1 and (sweep := finding.find_sweep(parsed.names[0], root)):
        return _sweep(sweep, root, output, overrides)
    if len(parsed.names) > 1:
        if len(parsed.names) > MOST_RUNS:
            raise ConfigError(f"a page shows at most {MOST_RUNS} runs, not {len(parsed.names)}")
        directories = arguments.several(parsed.names, root, "report")
        return _several(directories, root, output, options, packages, overrides)
    directory = rundir.find(parsed.names[0] if parsed.names else None, root)
    return _run(runpath.hold(directory), root, output, options, packages, overrides, shown)


def _run(
    directory: RunPath,
    root: Path,
    output: Path | None,
    options: dict[str, str],
    packages: Sequence[str],
    overrides: Sequence[str],
    shown: int,
) -> int:
    """Write the page of a run."""
    from trainctl.finished import record

    rundir.read_config(directory)  # a damaged configuration is an error
    known = record.read(directory.path, root)
    launching.require_allowed(directory, packages, overrides, ELSEWHERE)
    launching.import_torch()
    from trainctl.finished.open import Finished, configuration
    from trainctl.finished.open import open as open_run
    from trainctl.finished.report import facts, run_page

    configuration(directory, packages, overrides, ELSEWHERE)  # what is typed is checked in any case

    def opened() -> Finished:
        return open_run(directory, packages, overrides, ELSEWHERE, payloads=[options["which"]])

    found = run_page.gather(
        facts.read(directory, known), opened, directory / "plots",
        split=options["split"], which=options["which"], shown=shown,
    )  # fmt: skip
    written = _write(found.document, output or directory / PAGE)
    notes = [f"note: {note}" for note in found.notes]
    return _done(written, notes, found.trouble)


def _sweep(path: Path, root: Path, output: Path | None, overrides: Sequence[str]) -> int:
    """Write the page of a sweep."""
    if overrides:
        raise ConfigError(f"{overrides[0]}: does not apply to a sweep, whose page is about all of its runs")
    from trainctl.sweep import page

    document, notes = page.gather(path, root)
    return _done(_write(document, output or runpath.hold(path) / PAGE), [f"note: {note}" for note in notes], None)


def _several(
    directories: Sequence[Path],
    root: Path,
    output: Path | None,
    options: dict[str, str],
    packages: Sequence[str],
    overrides: Sequence[str],
) -> int:
    """Write the page of several runs."""
    target = output or option_values.new_path("output", PAGE)
    assert target is not None
    for directory in directories:
        rundir.read_config(directory)
    launching.import_torch()
    from trainctl.finished.report import several_page

    found = several_page.gather(
        directories, root, packages, overrides, ELSEWHERE, split=options["split"], which=options["which"]
    )
    return _done(_write(found.document, target), [f"note: {note}" for note in found.notes], found.trouble)


def _write(document: "Document", target: AnyPath) -> AnyPath:
    from trainctl.report.html.page import page

    if isinstance(target, Path):
        directories.ensure_directory(target.parent)
    files.write_bytes(target, page(document))
    return target


def _done(written: AnyPath, notes: Sequence[str], trouble: TrainctlError | None) -> int:
    """Print what was written; return the exit code."""
    for note in notes:
        table.line(f"trainctl: {note}", stream=sys.stderr)
    table.line(f"page: {written}")
    if trouble is None:
        return 0
    table.line(f"trainctl: the page lacks what the model predicts: {trouble}", stream=sys.stderr)
    return trouble.exit_code
