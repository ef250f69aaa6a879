"""Train a new run that starts from the weights of another one.

    trainctl finetune [RUN] [overrides] [which=best] [root=runs]

RUN is a run's directory, its name, or a part of the name; without it, the newest run. The new run has RUN's settings
with the overrides on top, RUN's weights, a fresh optimizer, and begins at step 0. Any override is allowed: another
data set, other classes, another model. Weights are matched layer by layer from the input; the list at the start says
for each layer whether it was taken, resized or is new, and why.

    trainctl finetune my-run loop.epochs=5 optimizer.lr=1e-4     train further, at another rate
    trainctl finetune my-run dataset.path=new.csv freeze=body    new data, only the output layer is trained
    trainctl finetune my-run model.hidden=[512,256]              a wider and deeper model that computes the same
    trainctl finetune my-run model.hidden=[64]                   a narrower one of the strongest units
    trainctl finetune my-autoencoder model=mlp                   its encoder becomes a classifier; for numbers: loss=mse

It prints the full command that it stands for. RUN is only read: the new run keeps a copy of what it needs. To continue
the same run instead, use `trainctl resume`.
"""

from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments, launching, option_values
from trainctl.report import table
from trainctl.settings import derive, early, encoder
from trainctl.store import finding, rundir

OPTIONS = {"which": "best", "root": "runs"}


def main(argv: Sequence[str]) -> int:
    """Compose the new run, import torch and train; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True, composes=True)
    which = option_values.choice("which", parsed.options["which"], ("best", "last"))
    directory = finding.find(parsed.names[0] if parsed.names else None, Path(parsed.options["root"]))
    packages, overrides = arguments.packages(parsed.overrides)
    from trainctl.store import configuration

    tree = configuration.read(directory, packages).tree
    start = ["init=run", f"init.run={directory.absolute()}"] + ([f"init.which={which}"] if which != "best" else [])
    start += encoder.words_of(tree, overrides)
    config, words = derive.derived(tree, [*start, *overrides], parsed.config_dir)
    early.require_data(config)
    rundir.require_root(config.output.root)
    if (code := launching.in_processes(config, ["finetune", *argv], overrides)) is not None:
        return code
    table.line(f"the same as: {derive.command(words, parsed.config_dir)}")
    table.flush()
    launching.import_torch()
    from trainctl.report import reporters
    from trainctl.store.records import MadeBy
    from trainctl.train import session

    made_by = MadeBy("finetune", {"run": str(directory), "overrides": list(overrides)})
    session.begin(config, words, reporters=reporters.on_terminal, made_by=made_by)
    return 0
