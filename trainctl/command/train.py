"""Train a model, or run a sweep with -m.

    trainctl [train] [FILE] [overrides] [--config-dir DIR] [-m]

`trainctl` alone trains the default run. FILE is a table, an array file, a directory of images or texts, or settings
(.yaml): the line that is printed first says what was chosen. Overrides select components and set any key:

    trainctl penguins.csv                       a file of your own; dataset.target=COLUMN says what to predict
    trainctl optimizer=adam schedule=cosine     components; see `trainctl list`
    trainctl optimizer.lr=3e-4 loop.epochs=50   settings; see `trainctl --cfg job`
    trainctl augment=[crop,flip]                groups that take several members
    trainctl recipe=mnist_cnn seed=1            a recipe with overrides
    trainctl loop.max_time=10m                  a time limit
    trainctl processes=2                        two processes; the same numbers as one, see docs/scale.md
    trainctl -m optimizer=adam,sgd seed=0,1,2   a sweep of six trials
    trainctl -m ... sweep.slurm=4               the same, as an array of four Slurm jobs

Defaults of a project, `trainctl.yaml` or `[tool.trainctl]` in pyproject.toml, apply first; what is typed wins.

The run directory is created below `output.root` (./runs): configuration, metrics.jsonl, checkpoints, plots,
summary.json. Ctrl-C saves the run and prints the command that resumes it; a second Ctrl-C quits immediately.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainctl.command.launching import import_torch, in_processes, require_started_once
from trainctl.report import run_lines, table

if TYPE_CHECKING:  # they import Hydra
    from trainctl.settings.project import Layered
    from trainctl.sweep.study import Study


def main(arguments: Sequence[str], config_dir: str | None = None, *, multirun: bool = False) -> int:
    """Check the configuration, import torch and train; return the exit code."""
    from trainctl.settings import early, project
    from trainctl.store import rundir

    if multirun:
        require_started_once()
        return _sweep(project.layered(arguments, config_dir, multirun=True), config_dir)
    checked, layers = project.composed(arguments, config_dir)
    early.require_data(checked)
    rundir.require_root(checked.output.root)
    words = ["train", *arguments, *([] if config_dir is None else ["--config-dir", config_dir])]
    if (code := in_processes(checked, words, layers.words)) is not None:
        return code
    if layers.summary:
        table.line(layers.summary)
        table.flush()
    if sys.stdout.isatty():  # PyTorch takes seconds to load; elsewhere nobody waits for the first line
        table.line(run_lines.announcement(checked))
        table.flush()
    import_torch()
    from trainctl.report import reporters
    from trainctl.train import session

    session.begin(checked, layers.words, reporters=reporters.on_terminal)
    return 0


def _sweep(layers: "Layered", config_dir: str | None) -> int:
    """Run a sweep; return the exit code."""
    from trainctl.sweep import opening, run, slurm

    def begin() -> "Study":
        with layers.located():
            return opening.begin(layers.words, config_dir)

    if layers.summary:
        table.line(layers.summary)
    if slurm.is_wanted(layers.words):
        return slurm.submit(begin)
    if slurm.is_in_job(layers.words):
        return slurm.work(begin)
    return run.run(begin())
