"""Repeat the training of a run as a new run, and compare the two.

    trainctl reproduce [RUN] [output=DIR] [root=runs]

RUN is a run's directory, its name, a part of the name, or `last`; without it, the newest run. A new run is trained from
the start with the configuration (config.yaml) and the number of threads (run.json) of the old one: in a temporary
directory next to it, which is deleted at the end, or in DIR, which must not exist and is kept. All evaluations, the
test metrics, and all tensors of the newest checkpoint and of the best weights are compared. A run that was made without
training is made again from the copies of its parents, and its tensors are compared.

    trainctl reproduce
    trainctl reproduce my-run output=runs/my-run-again
    trainctl reproduce my-run dataset.root=/other/files

Prints `identical` and exits with 0; or prints the first difference and its likely causes according to run.json
(other versions, threads, machine, data), and exits with 4. Where several processes divided the weights
(distributed.shard), numbers may differ by a fraction of 0.0001. The old run is not changed. A run that depends on
the wall clock (loop.max_time, early_stopping=time) or went back to its newest checkpoint (loop.on_nonfinite=rewind)
cannot be reproduced. device, threads, processes, distributed.*, dataset.root and dataset.download may be changed.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trainctl.command import arguments, launching, option_values
from trainctl.errors import CheckpointError, StorageError
from trainctl.report import table
from trainctl.settings import existing
from trainctl.store import rundir

if TYPE_CHECKING:
    from trainctl.finished.bitwise import Comparison

OPTIONS = {"output": "", "root": "runs"}


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and train; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True)
    output = option_values.new_path("output", parsed.options["output"])
    directory = rundir.find(parsed.names[0] if parsed.names else None, Path(parsed.options["root"]))
    packages, overrides = arguments.packages(parsed.overrides)
    if (
        code := launching.in_processes_of(directory, packages, overrides, existing.AGAIN, ["reproduce", *argv])
    ) is not None:
        return code
    launching.import_torch()
    from trainctl.finished.open import open as open_run
    from trainctl.finished.remake import remake, was_made
    from trainctl.finished.reproduce import reproduce

    run = open_run(directory, packages, overrides, existing.AGAIN)
    if was_made(run):
        return report(directory, remake(run, output), output)
    if not output:
        run = replace(run, config=replace(run.config, output=replace(run.config.output, plots=False)))
    with new_directory(directory, output) as target:
        comparison = reproduce(run, target)
    return report(directory, comparison, output)


def report(directory: Path, comparison: "Comparison", output: Path | None) -> int:
    """Print the result; return the exit code.

    Raises:
        CheckpointError: If the two runs differ.
    """
    if comparison.difference:
        raise CheckpointError(f"{directory.name} was not reproduced: {comparison.difference}", comparison.explanation)
    kept = f"; the new run is {output}" if output else ""
    same = comparison.kind.removeprefix("bit-")
    table.line(f"{directory.name}: {same} to step {comparison.end}: {comparison.extent}{kept}")
    return 0


@contextmanager
def new_directory(directory: Path, output: Path | None) -> Iterator[Path]:
    """Yield the directory of the new run: the output, or a temporary directory next to the old run."""
    if output:
        yield output
        return
    try:
        temporary = tempfile.TemporaryDirectory(dir=directory.absolute().parent, prefix=".reproduce-")
    except OSError as error:
        raise StorageError(
            f"{directory.parent}: cannot be written: {error.strerror}; choose another directory with output=DIR"
        ) from error
    with temporary as folder:
        yield Path(folder) / "run"
