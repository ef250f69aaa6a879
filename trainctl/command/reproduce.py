"""Train a run again from its records, and compare the two.

    trainctl reproduce [RUN] [output=DIR] [root=runs]

RUN is a run's directory, its name, a part of the name, or `last`; without it, the newest run. A new run is trained from
the start with the configuration (config.yaml) and the number of threads (run.json) of the old one, in a temporary
directory beside it, which is removed at the end; or in DIR, which must not be there yet and is kept. All evaluations,
the test metrics, and all tensors of the newest checkpoint and of the best weights are compared.

    trainctl reproduce
    trainctl reproduce my-run output=runs/my-run-again
    trainctl reproduce my-run dataset.root=/other/files

Prints `identical` and exits with 0; or says the first difference, and which of its likely causes run.json shows (other
versions, threads, machine, data), and exits with 4. Nothing is written into the old run. A run that follows the clock
(loop.max_time, early_stopping=time) or went back to its newest checkpoint (loop.on_nonfinite=rewind) cannot be
reproduced. device, threads, dataset.root and dataset.download may be given.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from trainctl.command import arguments
from trainctl.command.verify import chosen, counted
from trainctl.errors import CheckpointError, StorageError
from trainctl.report import table

OPTIONS = {"output": "", "root": "runs"}


def main(argv: Sequence[str]) -> int:
    """Check the words, then import torch and train."""
    given = arguments.parse(argv, OPTIONS, most_names=1, overrides=True)
    output = given.options["output"]
    arguments.new_path("output", output)
    directory, settings = chosen(given)
    from trainctl.finished import verify as replay

    if not output:
        settings = replace(settings, output=replace(settings.output, plots=False))
    with place(directory, output) as target:
        found = replay.reproduce(directory, settings, target)
    if found.difference:
        raise CheckpointError(f"{directory.name} was not reproduced: {found.difference}\n{replay.causes(found)}")
    table.line(
        f"{directory.name}: identical to step {found.end}: {counted(found.evaluations)}, {found.tensors} tensors"
        + (f"; the new run is {output}" if output else "")
    )
    return 0


@contextmanager
def place(directory: Path, output: str) -> Iterator[Path]:
    """Return where the new run goes: what was asked for, or a directory beside the run that does not last."""
    if output:
        yield Path(output)
        return
    try:
        temporary = tempfile.TemporaryDirectory(dir=directory.absolute().parent, prefix=".reproduce-")
    except OSError as error:
        raise StorageError(f"{directory.parent}: cannot be written: {error.strerror}; give output=DIR") from error
    with temporary as folder:
        yield Path(folder) / "run"
