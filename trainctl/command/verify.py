"""Replay a run and compare it with what it wrote, bit for bit.

    trainctl verify [RUN] [from=auto|start|oldest|STEP] [steps=N] [root=runs]

RUN is a run's directory, its name, a part of the name, or `last`; without it, the newest run. Its steps are taken again
in memory, up to its newest checkpoint: from the start if the run took less than a minute, else from the oldest
checkpoint that is kept. Every evaluation is compared with metrics.jsonl, and at the end weights, optimizer, averages,
random states and best weights with the checkpoint.

    trainctl verify
    trainctl verify my-run from=oldest
    trainctl verify my-run from=start steps=1000    metrics alone, unless a checkpoint of step 1000 is kept
    trainctl verify my-run dataset.root=/other/files

Prints `bit-identical` and exits with 0; or says the first evaluation or tensor that differs, and what has changed
since, and exits with 4. Writes nothing. A run that follows the clock (loop.max_time, early_stopping=time) or went back
to its newest checkpoint (loop.on_nonfinite=rewind) cannot be replayed. device, threads, dataset.root and
dataset.download may be given.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainctl.command import arguments as words
from trainctl.errors import CheckpointError, ConfigError
from trainctl.report import table
from trainctl.settings import existing
from trainctl.settings.spelling import nearest
from trainctl.store import rundir

if TYPE_CHECKING:
    from trainctl.settings.config import Config

OPTIONS = {"from": "auto", "steps": "", "root": "runs"}
ELSEWHERE = ("device", "threads", "dataset.root", "dataset.download")  # what another machine may need


def main(arguments: Sequence[str]) -> int:
    """Check the words, then import torch and replay."""
    given = words.read(arguments, OPTIONS, most_names=1, overrides=True)
    begin = given.options["from"]
    if begin not in (choices := ("auto", "start", "oldest")) and not begin.isdecimal():
        raise ConfigError(f"from={begin}: expected a step or one of these{nearest(begin, choices)}")
    steps = words.whole("steps", given.options["steps"], 1) if given.options["steps"] else None
    directory, settings = chosen(given)
    from trainctl.finished import verify as replay

    found = replay.verify(directory, settings, begin, steps)
    for note in found.notes:
        print(f"trainctl: {note}", file=sys.stderr)
    if found.difference:
        raise CheckpointError(f"{directory.name} is not bit-identical: {found.difference}\n{replay.causes(found)}")
    start = f"step {found.start}" if found.start else "the start"
    state = f"{found.tensors} tensors" if found.tensors else f"no tensors, as no checkpoint of step {found.end} is kept"
    table.line(
        f"{directory.name}: bit-identical from {start} to step {found.end}: {counted(found.evaluations)}, {state}"
    )
    return 0


def counted(evaluations: int) -> str:
    """Write a number of evaluations."""
    return f"{evaluations} evaluation{'s' * (evaluations != 1)}"


def chosen(given: words.Words) -> "tuple[Path, Config]":
    """Return a run's directory, and its settings with what another machine may need changed."""
    directory = rundir.find(given.names[0] if given.names else None, Path(given.options["root"]))
    packages, overrides = words.packages(given.overrides)
    from trainctl.finished import open as reload
    from trainctl.settings import config

    before = reload.tree(directory, packages)
    reload.checked(directory, before)
    return directory, config.load(existing.change(before, overrides, ELSEWHERE))
