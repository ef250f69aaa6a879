"""Continue a run from its latest checkpoint, or a sweep.

    trainctl resume [RUN] [settings] [root=runs]
    trainctl resume SWEEP [sweep.* settings] [root=runs]

RUN is a run directory, its name, or a part of the name; without it, the newest run. A resumed run ends exactly as
if it had not been stopped. A finished run continues if its budget is raised; otherwise nothing happens. Damaged
checkpoints are skipped with a message; if no intact checkpoint exists, the command exits with code 4 instead of
starting over.

    trainctl resume                             the newest run
    trainctl resume 20261120-2230 loop.epochs=50
    trainctl resume runs/my-run loop.max_time=1h device=cpu
    trainctl resume runs/my-sweep sweep.workers=4

Settings that may change: loop.epochs, loop.max_steps, loop.max_time, loop.stop_at_step, loop.eval_batch_size,
loop.on_nonfinite, loop.checkpoint_activations, checkpoint.*, early_stopping.*, output.plots, output.tags, device,
threads, processes, distributed.*, dataset.root, dataset.download, dataset.memory, dataset.cache, and dataset.keep if
the rows stay where they were. Changing any other setting would make it a different run. Your own components must be
named again: components=[my_package]; so must the sweep.storage of a sweep, and what its Slurm jobs execute.
"""

from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments, launching
from trainctl.report import table
from trainctl.settings import existing
from trainctl.store import finding


def main(argv: Sequence[str]) -> int:
    """Check the changes, import torch and continue the training; return the exit code."""
    parsed = arguments.parse(argv, {"root": "runs"}, most_names=1, overrides=True)
    name, root = parsed.names[0] if parsed.names else None, Path(parsed.options["root"])
    directory = finding.find_sweep(name, root) or finding.find(name, root)
    packages, overrides = arguments.packages(parsed.overrides)
    if (directory / "sweep.json").exists():
        launching.require_started_once()
        from trainctl.sweep import complete

        if complete.show(directory, overrides, packages):
            return 0
        from trainctl.sweep import opening, run, slurm

        if slurm.is_wanted(overrides):
            return slurm.submit(lambda: opening.reopen(directory, overrides, packages))
        if slurm.is_in_job(overrides):
            return slurm.work(lambda: opening.reopen(directory, overrides, packages))
        sweep = opening.reopen(directory, overrides, packages)
        run.try_again(sweep)
        return run.run(sweep)
    if (
        code := launching.in_processes_of(directory, packages, overrides, existing.MAY_CHANGE, ["resume", *argv])
    ) is not None:
        return code
    launching.import_torch()
    from trainctl.finished import resume
    from trainctl.report import reporters
    from trainctl.train import session

    settings = resume.settings(directory, packages, overrides)
    summary = session.resume(settings, overrides, directory, reporters=reporters.on_terminal)
    if note := resume.note(summary, directory.name):
        table.line(note)
    return 0
