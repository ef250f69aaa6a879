"""Train a new, usually smaller model that learns from the outputs of finished runs.

    trainctl distill [RUN...] [overrides] [which=best] [tolerance=...] [root=runs]

RUN is a run's directory, its name, or a part of the name; without it, the newest run. The new run has the settings of
the first RUN with the overrides on top, and `teacher=run`: it learns from the labels and from the mean of the
probabilities (or of the numbers) that all RUNs return. Any override is allowed: another model, loss, scaling or data.
What made RUN what it is, is not taken over: compress, freeze, init=run, layer_decay and head_lr_factor.

    trainctl distill my-run model.hidden=[30]                            a smaller model
    trainctl distill my-run model=cnn teacher.temperature=2              another model
    trainctl distill run-a run-b run-c model.hidden=[100]                one model in place of three
    trainctl distill my-run model.hidden=[30] teacher.weight=1           without using any label
    trainctl distill my-run model.hidden=[30] tolerance=0.01             exit code 9 if it is worse by more

It prints the full command that it stands for, and at the end what the teachers and the new model cost and achieve. The
RUNs are only read: the new run keeps a copy of what it needs. For all settings: `trainctl list teacher run`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError
from trainctl.report import table
from trainctl.settings import derive, early, student
from trainctl.settings.spelling import spell
from trainctl.store import finding, rundir

OPTIONS = {"which": "best", "tolerance": "", "root": "runs"}


def main(argv: Sequence[str]) -> int:
    """Compose the new run, import torch and train; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv), overrides=True, composes=True)
    which = option_values.choice("which", parsed.options["which"], ("best", "last"))
    tolerance = option_values.tolerance(parsed.options["tolerance"])
    root = Path(parsed.options["root"])
    names: list[str | None] = [*parsed.names] or [None]
    teachers = [str(finding.find(name, root).absolute()) for name in names]
    if len(set(teachers)) != len(teachers):
        raise ConfigError(f"{', '.join(parsed.names)}: name each run once")
    packages, overrides = arguments.packages(parsed.overrides)
    from trainctl.store import configuration

    tree = configuration.read(Path(teachers[0]), packages).tree
    learn = ["teacher=run", f"teacher.runs={spell(teachers)}"] + ([f"teacher.which={which}"] if which != "best" else [])
    usual = derive.words_of(tree, parsed.config_dir)
    others = {word.partition("=")[0] for word in student.left_out(usual, overrides)}
    config, words = derive.derived(tree, [*learn, *overrides], parsed.config_dir, without=others)
    early.require_data(config)
    rundir.require_root(config.output.root)
    if (code := launching.in_processes(config, ["distill", *argv], overrides)) is not None:
        return code
    table.line(f"the same as: {derive.command(words, parsed.config_dir)}")
    for note in student.notes(usual, overrides):
        table.line(f"trainctl: note: {note}", stream=sys.stderr)
    table.flush()
    launching.import_torch()
    from trainctl.report import reporters
    from trainctl.store.records import MadeBy
    from trainctl.train import cost, session

    made_by = MadeBy("distill", {"runs": teachers, "overrides": list(overrides)})
    summary = session.begin(config, words, reporters=reporters.on_terminal, made_by=made_by)
    before, after = cost.from_json(summary.get("size"))
    if before and after:
        table.line()
        header, rows = cost.table(before, after)
        table.show(header, rows, right=set(header[1:]))
    if summary["outcome"] == "finished":
        cost.require_tolerable(before, after, tolerance)
    return 0
