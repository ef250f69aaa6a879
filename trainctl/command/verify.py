"""Check that a run repeats bit for bit: repeat its steps and compare.

    trainctl verify [RUN] [from=auto|start|oldest|STEP] [steps=N] [root=runs]

RUN is a run's directory, its name, a part of the name, or `last`; without it, the newest run. Its steps are repeated in
memory, up to its newest checkpoint: from the start if the run took less than a minute, else from the oldest checkpoint
that is kept. Every evaluation is compared with metrics.jsonl; at the end, weights, optimizer, averages, random states
and best weights are compared with the checkpoint.

    trainctl verify
    trainctl verify my-run from=oldest
    trainctl verify my-run from=start steps=1000    metrics only, unless a checkpoint of step 1000 is kept
    trainctl verify my-run dataset.root=/other/files

Prints `bit-identical` and exits with 0; or prints the first evaluation or tensor that differs and what has changed
since then, and exits with 4. Where several processes divided the weights (distributed.shard), prints `the same within
0.0001` if nothing differs by more than this fraction. Writes no files. A run that depends on the wall clock
(loop.max_time, early_stopping=time) or went back to its newest checkpoint (loop.on_nonfinite=rewind) cannot be
verified. device, threads, processes, distributed.*, dataset.root and dataset.download may be changed. A run that was
made of others without training is made again, and its weights are compared.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments, launching, option_values
from trainctl.errors import CheckpointError, ConfigError
from trainctl.report import table
from trainctl.settings import existing
from trainctl.settings.spelling import nearest
from trainctl.store import rundir

OPTIONS = {"from": "auto", "steps": "", "root": "runs"}
BEGIN = ("auto", "start", "oldest")


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and verify; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True)
    begin = parsed.options["from"]
    if begin not in BEGIN and not (begin.isdecimal() and len(begin) <= option_values.MOST_DIGITS):
        raise ConfigError(f"from={begin}: expected a step or one of these{nearest(begin, BEGIN)}")
    steps = option_values.integer("steps", parsed.options["steps"], 1) if parsed.options["steps"] else None
    directory = rundir.find(parsed.names[0] if parsed.names else None, Path(parsed.options["root"]))
    packages, overrides = arguments.packages(parsed.overrides)
    if (
        code := launching.in_processes_of(directory, packages, overrides, existing.AGAIN, ["verify", *argv])
    ) is not None:
        return code
    launching.import_torch()
    from trainctl.finished.open import open as open_run
    from trainctl.finished.remake import remake, was_made
    from trainctl.finished.verify import verify

    run = open_run(directory, packages, overrides, existing.AGAIN)
    comparison = remake(run) if was_made(run) else verify(run, begin, steps)
    for note in comparison.notes:
        table.line(f"trainctl: {note}", stream=sys.stderr)
    kind = comparison.kind
    if comparison.difference:
        raise CheckpointError(f"{directory.name} is not {kind}: {comparison.difference}", comparison.explanation)
    start = f"step {comparison.start}" if comparison.start else "the start"
    table.line(f"{directory.name}: {kind} from {start} to step {comparison.end}: {comparison.extent}")
    return 0
