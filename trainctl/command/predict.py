"""Predict with a run's best weights, and write a CSV.

    trainctl predict RUN INPUT... [output=FILE] [id=COLUMN] [what=prediction|code] [which=best] [spreadsheet=false]
        [dataset settings] [device=...] [root=runs]

INPUT is an image (PNG, JPEG, ...), a CSV with a header, an .npz or .npy array, or a directory of such files.
The CSV goes to standard output, or to FILE, which must not exist.

    trainctl predict my-run digit.png
    trainctl predict my-run rows.csv output=predictions.csv
    trainctl predict my-run rows.csv id=customer    with the column that names the rows
    trainctl predict my-run rows.csv dataset.decimal=comma dataset.delimiter=semicolon
    trainctl predict my-run rows.npz
    trainctl predict my-run photos more/*.jpg output=predictions.csv
    trainctl predict my-run rows.csv what=code      what the network makes of each row

The columns of a CSV are matched by name; columns that the run was not trained with are ignored, unless `id=` copies
them to the predictions. The delimiter is found in the file; settings such as `dataset.decimal=comma` say how the file
is written if it differs from the training data. A category that did not occur in training is encoded as none, with a
note; `dataset.unknown=error` rejects it. For a run on texts, a .txt contains one text per line. An .npz must contain
exactly one array, or one named `inputs`; its rows have the shape that the run was trained with. Images are converted
to the run's channels and size.

Several inputs, or a directory with all below it, are predicted in one call, and a column `file` says where a row comes
from. Files that cannot be predicted are reported and left out; the exit code is then 3. Of texts, the number of tokens
that the run does not know is reported.

Columns of the output: `row`, counted from 0 in each file; `line` of a .txt, whose empty lines are left out; then, for
classification, `prediction` and a probability per class; for regression, one column per target, in its unit; for an
autoencoder, `rmse` and the reconstruction, in scaled units. For an ensemble, the last column is `disagreement`, see
trainctl ensemble --help. Numbers have all their digits, and names are written as in
the data. For a table that a spreadsheet will open, spreadsheet=true puts a quote before names that it would run as
formulas, such as `=x` or `-`.

With what=code, the columns are `code_0`, `code_1`, ... instead: the bottleneck of an autoencoder, otherwise the last
hidden layer, which is the input of the last dense layer. Rows that the network treats alike have similar codes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.place import check_file, is_directory
from trainctl.report import table
from trainctl.store import rundir

OPTIONS = {"output": "", "what": "prediction", "which": "best", "spreadsheet": "false", "root": "runs", "id": ""}
# Settings of a table say how this file is written.
OF_A_FILE = ("delimiter", "encoding", "header", "decimal", "thousands", "dates", "missing", "skip", "unknown")
ALLOWED = ("device", "loop.eval_batch_size", *(f"dataset.{key}" for key in OF_A_FILE))


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and predict; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv), overrides=True)
    if len(parsed.names) < 2:
        raise ConfigError("predict needs a run and an input: trainctl predict RUN INPUT")
    which = arguments.choice("which", parsed.options["which"], ("best", "last"))
    spreadsheet = arguments.choice("spreadsheet", parsed.options["spreadsheet"], ("true", "false")) == "true"
    what = arguments.choice("what", parsed.options["what"], ("prediction", "code"))
    directory = rundir.find(parsed.names[0], Path(parsed.options["root"]))
    given = [Path(name) for name in parsed.names[1:]]
    target = arguments.new_path("output", parsed.options["output"])
    for path in given:
        if not is_directory(path):
            check_file(path)
    packages, overrides = arguments.packages(parsed.overrides)
    arguments.import_torch()
    from trainctl.finished.open import open as open_run
    from trainctl.finished.predict import predict

    run = open_run(directory, packages, overrides, ALLOWED, payloads=[which])
    ids = [name for name in parsed.options["id"].split(",") if name]
    found = predict(run, given, which, ids, spreadsheet=spreadsheet, what=what)
    if target:
        rundir.write(target, found.text)
        table.line(f"trainctl: wrote {target}", stream=sys.stderr)
    else:
        table.text(found.text)
    for note in found.notes:
        table.line(f"trainctl: note: {note}", stream=sys.stderr)
    if not found.failed:
        return 0
    for error in found.failed:
        table.line(f"trainctl: {error}", stream=sys.stderr)
    table.line(
        f"trainctl: {len(found.failed):,} of {found.files:,} files are not predicted, for the reasons above",
        stream=sys.stderr,
    )
    return DataError.exit_code
