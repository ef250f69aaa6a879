"""Predict with a run's best weights; writes CSV.

    trainctl predict RUN INPUT [output=FILE] [which=best] [device=...] [root=runs]

INPUT is an image (PNG, JPEG, ...), a CSV with a header, or an .npz or .npy array. The CSV goes to standard
output, or to FILE, which must not be there yet.

    trainctl predict my-run digit.png
    trainctl predict my-run rows.csv output=predictions.csv
    trainctl predict my-run rows.npz

A CSV's columns are found by their names; columns that the run does not know are passed over; between cells stands
what stood there in training, and the file may end in .tsv too. For a run on texts a .txt holds one text a line. An
.npz needs one array, or one named `inputs`; a row has the shape that the run was trained with. An image is turned
to the run's channels and size.

Columns: row, then for classes `prediction` and a probability for each class; for numbers one column for each
target, in its unit; for an autoencoder `rmse` and the reconstruction, in scaled units.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments as words
from trainctl.errors import ConfigError, StorageError
from trainctl.fileformat.place import check_file
from trainctl.report import table
from trainctl.settings import existing
from trainctl.settings.spelling import nearest
from trainctl.store import rundir

OPTIONS = {"output": "", "which": "best", "root": "runs"}


def main(arguments: Sequence[str]) -> int:
    """Check the words, then import torch and predict."""
    given = words.read(arguments, OPTIONS, most_names=2, overrides=True)
    if len(given.names) < 2:
        raise ConfigError("predict needs a run and an input: trainctl predict RUN INPUT")
    if given.options["which"] not in ("best", "last"):
        raise ConfigError(
            f"which={given.options['which']}: no such choice{nearest(given.options['which'], ('best', 'last'))}"
        )
    directory = rundir.find(given.names[0], Path(given.options["root"]))
    source, target = Path(given.names[1]), Path(given.options["output"]) if given.options["output"] else None
    check_file(source)
    if target and target.exists():
        raise StorageError(f"{target}: is there already; remove it or give another output=")
    packages, overrides = words.packages(given.overrides)
    from trainctl.finished import open as reload
    from trainctl.finished import predict as prediction

    tree = existing.change(reload.tree(directory, packages), overrides, ("device", "loop.eval_batch_size"))
    text = prediction.predict(directory, tree, source, given.options["which"])
    if target:
        rundir.write(target, text)
        table.line(f"trainctl: wrote {target}", stream=sys.stderr)
    else:
        terminal = sys.stdout.isatty()  # which a name of a class must not drive
        sys.stdout.write("\n".join(map(table.printable, text.split("\n"))) if terminal else text)
    return 0
