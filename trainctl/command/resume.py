"""Go on with a run, from its newest checkpoint.

    trainctl resume [RUN] [settings] [root=runs]

RUN is a run's directory, its name, or a part of the name; without it, the newest run. A run that was stopped
ends exactly as if it had not been. A finished run goes on if its budget is raised; else nothing is done.
A damaged checkpoint is passed over, which is told; without a whole one the exit code is 4, never a fresh start.

    trainctl resume                             the newest run
    trainctl resume 20261120-2230 loop.epochs=50
    trainctl resume runs/my-run loop.max_time=1h device=cpu

What may change: loop.epochs, loop.max_steps, loop.max_time, loop.stop_at_step, loop.eval_batch_size, loop.on_nonfinite,
checkpoint.*, early_stopping.*, output.plots, device, threads, dataset.root, dataset.download. Anything else would
make it another run. Components of your own have to be named again: components=[my_package].
"""

from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments as words
from trainctl.settings import existing
from trainctl.store import rundir


def main(arguments: Sequence[str]) -> int:
    """Check what is to change, then import torch and train on."""
    given = words.read(arguments, {"root": "runs"}, most_names=1, overrides=True)
    directory = rundir.find(given.names[0] if given.names else None, Path(given.options["root"]))
    packages, overrides = words.packages(given.overrides)
    from trainctl.finished import open as reload
    from trainctl.settings import config
    from trainctl.train import session

    before = reload.tree(directory, packages)
    reload.checked(directory, before)
    after = existing.change(before, overrides, existing.MAY_CHANGE)
    if after["loop"]["stop_at_step"] == before["loop"]["stop_at_step"]:
        after["loop"]["stop_at_step"] = None  # it has done its work
    summary = session.resume(config.load(after), overrides, directory)
    if not summary["resumed"]:
        budgets = "loop.epochs, loop.max_steps, loop.max_time or early_stopping.patience"
        print(f"{directory.name} is finished ({summary['reason']}): nothing to do; raise {budgets} to go on")
    return 0
