"""Predict with a run's best weights, and write a CSV or JSON lines.

    trainctl predict RUN INPUT... [output=FILE] [format=csv|jsonl] [id=COLUMN]
        [keep=ids|none|inputs|all] [quantiles=[...]] [what=prediction|code]
        [which=best] [spreadsheet=false] [dataset settings] [device=...] [root=runs]

INPUT is an image (PNG, JPEG, ...), a CSV with a header, JSON records, an .npz or .npy array, a directory of such files,
a pattern such as 'photos/*.jpg', or - for standard input: a CSV, JSON records, lines of text, or an image. All inputs
are predicted by one process. The result goes to standard output, or to FILE, which must not exist.

    trainctl predict my-run digit.png
    trainctl predict my-run rows.csv output=predictions.csv
    trainctl predict my-run rows.csv id=ticket      with the column that names the rows
    trainctl predict my-run rows.csv keep=inputs    with the columns that the run reads
    trainctl predict my-run rows.csv dataset.decimal=comma dataset.delimiter=semicolon
    trainctl predict my-run rows.npz
    trainctl predict my-run photos 'more/**/*.jpg' output=predictions.csv
    sqlite3 -csv -header my.db 'select * from x' | trainctl predict my-run -
    echo '{"age": 31, "city": "Bern"}' | trainctl predict my-run - format=jsonl
    trainctl predict my-ensemble rows.csv quantiles=[0.05,0.95]
    trainctl predict my-run rows.csv what=code      what the network makes of each row

The columns of a CSV are matched by name. Columns that the run was not trained with are ignored, but those that are
called like an identifier (id, customer_id, PassengerId, uuid, key, name) are copied to the predictions. id= names others
in their place; keep=none copies none, keep=inputs the columns that the run reads (for texts, the text), keep=all every
column of the file; a copied column with the name of a column of the predictions gets the prefix `given_`. The delimiter
is found in the file; settings such as `dataset.decimal=comma` say how the file is written if it differs from the training
data. A category that did not occur in training is encoded as none, with a note; `dataset.unknown=error` rejects it. For
a run on texts, a .txt contains one text per line. An .npz must contain exactly one array, or one named `inputs`; its
rows have the shape that the run was trained with. Images are converted to the run's channels and size.

Several inputs, or a directory with all below it, are predicted in one call, and a column `file` says where a row comes
from; `-` is standard input. Files that cannot be predicted are reported and left out; the exit code is then 3. For
texts, the number of tokens that the run does not know is reported.

Columns of the output: `row`, counted from 0 in each file; `line` of a .txt, whose empty lines are left out; then, for
classification, `prediction` and a probability per class; for regression, one column per target, in its unit; for an
autoencoder, `rmse` and the reconstruction, in scaled units. For an ensemble, a column `disagreement` follows, see
trainctl ensemble --help, and with quantiles=[0.05,0.95] the columns NAME_q0.05 and NAME_q0.95 of each probability or
target: quantiles of what its parts predict. Numbers have all their digits, and names are written as in
the data. For a table that a spreadsheet will open, spreadsheet=true puts a quote before names that it would run as
formulas, such as `=x` or `-`.

format=jsonl writes an object per line with the same names, and null for a number that is not finite. Without format=,
the ending of FILE decides: .jsonl and .ndjson are JSON lines.

With what=code, the columns are `code_0`, `code_1`, ... instead: the bottleneck of an autoencoder, otherwise the last
hidden layer, which is the input of the last dense layer. Rows that the network treats alike have similar codes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat import standard_input
from trainctl.fileformat.pattern import STANDARD_INPUT, files_of
from trainctl.report import table
from trainctl.settings.text import read_items
from trainctl.store import directories, rundir
from trainctl.wording import agree, amount

if TYPE_CHECKING:
    from trainctl.finished.predict import Predictions

OPTIONS = {
    "output": "", "format": "", "id": "", "keep": "ids", "quantiles": "", "what": "prediction", "which": "best",
    "spreadsheet": "false", "root": "runs",
}  # fmt: skip
JSON_LINES = (".jsonl", ".ndjson")
# Endings of files in which nobody expects CSV or JSON lines.
OTHERS = (
    ".json",
    ".xlsx",
    ".xls",
    ".ods",
    ".parquet",
    ".pq",
    ".feather",
    ".arrow",
    ".npz",
    ".npy",
    ".html",
    ".yaml",
    ".pkl",
)
ALLOWED = ("device", "loop.eval_batch_size", *arguments.OF_A_FILE)


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and predict; return the exit code."""
    parsed = arguments.parse(
        argv, OPTIONS, most_names=len(argv), overrides=True, standard_input=True, one_process="predict"
    )
    if len(parsed.names) < 2:
        raise ConfigError("predict needs a run and an input: trainctl predict RUN INPUT")
    typed_ids = parsed.options["id"]
    options: dict[str, Any] = {
        "ids": [name for name in read_items(typed_ids) or typed_ids.split(",") if name],
        "keep": option_values.choice("keep", parsed.options["keep"], ("none", "ids", "inputs", "all")),
        "what": option_values.choice("what", parsed.options["what"], ("prediction", "code")),
        "quantiles": option_values.quantiles(parsed.options["quantiles"]),
        "form": form_of(parsed.options["format"], parsed.options["output"]),
        "spreadsheet": option_values.choice("spreadsheet", parsed.options["spreadsheet"], ("true", "false")) == "true",
    }
    which = option_values.choice("which", parsed.options["which"], ("best", "last"))
    directory = rundir.find(parsed.names[0], Path(parsed.options["root"]))
    target = option_values.new_path("output", parsed.options["output"])
    given = files_of(parsed.names[1:])
    packages, overrides = arguments.packages(parsed.overrides)
    piped = Path(STANDARD_INPUT)
    options["contents"] = {piped: standard_input.read_all()} if piped in given else {}
    launching.require_allowed(directory, packages, overrides, ALLOWED)
    launching.import_torch()
    from trainctl.finished.open import open as open_run
    from trainctl.finished.predict import Options, predict

    run = open_run(directory, packages, overrides, ALLOWED, payloads=[which])
    found = predict(run, given, which, Options(**options))
    if target:
        directories.ensure_directory(target.parent)
        rundir.write(target, found.text)
        table.line(f"trainctl: wrote {target}", stream=sys.stderr)
    else:
        table.text(found.text)
    return _say(found)


def _say(found: "Predictions") -> int:
    """Print the notes, and the files that could not be predicted; return the exit code."""
    for note in found.notes:
        table.line(f"trainctl: note: {note}", stream=sys.stderr)
    if not found.failed:
        return 0
    for error in found.failed:
        table.line(f"trainctl: {error}", stream=sys.stderr)
    table.line(
        f"trainctl: {len(found.failed):,} of {amount(found.files, 'file')} {agree(len(found.failed), 'is', 'are')} not"
        " predicted, for the reasons above",
        stream=sys.stderr,
    )
    return DataError.exit_code


def form_of(form: str, output: str) -> str:
    """Return the form of the output: as typed, or as the ending of the file says.

    Raises:
        ConfigError: If there is no such form, or the ending is that of another one.

    >>> form_of("", "new.jsonl"), form_of("", ""), form_of("jsonl", "")
    ('jsonl', 'csv', 'jsonl')
    """
    if form:
        return option_values.choice("format", form, ("csv", "jsonl"))
    suffix = Path(output).suffix.lower()
    if suffix in OTHERS:
        raise ConfigError(
            f"output={output}: predictions are written as CSV or JSON lines: name the file .csv or .jsonl, or add format=csv"
        )
    return "jsonl" if suffix in JSON_LINES else "csv"
