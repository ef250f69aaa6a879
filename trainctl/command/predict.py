"""Predict with a run's best weights, and write a CSV.

    trainctl predict RUN INPUT [output=FILE] [id=COLUMN] [which=best] [dataset settings] [device=...] [root=runs]

INPUT is an image (PNG, JPEG, ...), a CSV with a header, or an .npz or .npy array. The CSV goes to standard
output, or to FILE, which must not exist.

    trainctl predict my-run digit.png
    trainctl predict my-run rows.csv output=predictions.csv
    trainctl predict my-run rows.csv id=customer    with the column that names the rows
    trainctl predict my-run rows.csv dataset.decimal=comma dataset.delimiter=semicolon
    trainctl predict my-run rows.npz

The columns of a CSV are matched by name; columns that the run was not trained with are ignored, unless `id=` copies
them to the predictions. The delimiter is found in the file; settings such as `dataset.decimal=comma` say how the file
is written if it differs from the training data. A category that did not occur in training is encoded as none, with a
note; `dataset.unknown=error` rejects it. For a run on texts, a .txt contains one text per line. An .npz must contain
exactly one array, or one named `inputs`; its rows have the shape that the run was trained with. Images are converted
to the run's channels and size.

Columns of the output: `row`; then, for classification, `prediction` and a probability per class; for regression, one
column per target, in its unit; for an autoencoder, `rmse` and the reconstruction, in scaled units.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments
from trainctl.errors import ConfigError
from trainctl.fileformat.place import check_file
from trainctl.report import table
from trainctl.store import rundir

OPTIONS = {"output": "", "which": "best", "root": "runs", "id": ""}
# Settings of a table say how this file is written.
OF_A_FILE = ("delimiter", "encoding", "header", "decimal", "thousands", "dates", "missing", "skip", "unknown")
ALLOWED = ("device", "loop.eval_batch_size", *(f"dataset.{key}" for key in OF_A_FILE))


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and predict; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=2, overrides=True)
    if len(parsed.names) < 2:
        raise ConfigError("predict needs a run and an input: trainctl predict RUN INPUT")
    which = arguments.choice("which", parsed.options["which"], ("best", "last"))
    directory, source = rundir.find(parsed.names[0], Path(parsed.options["root"])), Path(parsed.names[1])
    target = arguments.new_path("output", parsed.options["output"])
    check_file(source)
    packages, overrides = arguments.packages(parsed.overrides)
    from trainctl.finished.open import open as open_run
    from trainctl.finished.predict import predict

    run = open_run(directory, packages, overrides, ALLOWED, payloads=[which])
    ids = [name for name in parsed.options["id"].split(",") if name]
    text = predict(run, source, which, ids, lambda line: table.line(f"trainctl: note: {line}", stream=sys.stderr))
    if target:
        rundir.write(target, text)
        table.line(f"trainctl: wrote {target}", stream=sys.stderr)
    else:
        terminal = sys.stdout.isatty()  # control characters in the name of a class must not reach it
        sys.stdout.write("\n".join(map(table.printable, text.split("\n"))) if terminal else text)
    return 0
