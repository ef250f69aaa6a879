"""Make a run smaller: set its smallest weights to 0, or keep its strongest units.

    trainctl prune [RUN] amount=0.9 [scope=weights|units] [rounds=N] [rewind=true] [gradual=true] [tune=false]
                   [tolerance=...] [overrides] [which=best] [output=DIR] [root=runs]

RUN is a run's directory, its name, or a part of the name; without it, the newest run. `amount` is the fraction of the
weights that are 0 in the end, or, with scope=units, the fraction of the units of each hidden layer that are gone.
Then the new run trains with RUN's settings and the overrides on top; what is 0 stays 0. RUN is only read.

    trainctl prune my-run amount=0.9 loop.epochs=3              prune once, then tune for 3 epochs
    trainctl prune my-run amount=0.95 rounds=5 loop.epochs=2    prune and tune in 5 rounds, each a run
    trainctl prune my-run amount=0.95 rounds=5 rewind=true      lottery tickets: rounds begin with RUN's first weights
    trainctl prune my-run amount=0.9 gradual=true               prune during training, most of it early
    trainctl prune my-run amount=0.5 scope=units                half of the units, which is also faster
    trainctl prune my-run amount=0.9 tune=false                 without training
    trainctl prune my-run amount=0.9 compress.prune.scope=layer tolerance=0.01    exit code 9 if it is worse by more

With `tolerance`, the first round that is worse by more is the last one; all rounds are kept. Magnitudes are compared
over all layers, or within each with compress.prune.scope=layer. A pruned run can be pruned again. Prints the full
command of each round and what both models cost. Zeros do not speed up dense kernels: they save space only once the
weights are packed.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError
from trainctl.report import table
from trainctl.settings import smaller
from trainctl.store import configuration, rundir

if TYPE_CHECKING:
    from trainctl.finished.prune import Round

OPTIONS = {
    "amount": "", "scope": "weights", "rounds": "1", "rewind": "false", "gradual": "false", "tune": "true",
    "tolerance": "", "which": "best", "output": "", "root": "runs",
}  # fmt: skip
FLAGS = ("true", "false")
MOST_ROUNDS = 100
DENSE = "note: zeros do not speed up dense kernels; they save space only once the weights are packed"


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and make the runs; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True, composes=True)
    options = parsed.options
    scope = option_values.choice("scope", options["scope"], ("weights", "units"))
    flags = {key: option_values.choice(key, options[key], FLAGS) == "true" for key in ("rewind", "gradual", "tune")}
    amount, rounds = fraction(options["amount"]), option_values.integer("rounds", options["rounds"], 1)
    check(scope, rounds, flags)
    which = option_values.choice("which", options["which"], ("best", "last"))
    tolerance = option_values.tolerance(options["tolerance"])
    output = option_values.new_path("output", options["output"])
    directory = rundir.find(parsed.names[0] if parsed.names else None, Path(options["root"]))
    packages, overrides = arguments.packages(parsed.overrides)
    if typed := [word for word in overrides if word.startswith("processes=") and word != "processes=1"]:
        raise ConfigError(
            f"{typed[0]}: prune uses one process; to train the new run with several, use trainctl finetune"
        )
    settings = configuration.read(directory, packages)
    if scope == "units":
        smaller.narrower(settings.parts["model"], 1 - amount)
    launching.import_torch()
    from trainctl.finished import prune
    from trainctl.finished.open import open as open_run
    from trainctl.report import reporters

    run = open_run(directory, packages, [], (), payloads=[which])
    plan = prune.Plan(amount, scope, rounds, which=which, tolerance=tolerance, **flags)  # type: ignore[arg-type]
    config, _ = prune.words_of(run, directory.absolute(), plan, 1 - amount, overrides, parsed.config_dir)
    name = config.output.name or f"prune-{settings.parts['model']['name']}"
    directories = targets(output, config.output.root, name, rounds)
    prune.prune(
        run, plan, overrides, directories,
        config_dir=parsed.config_dir, reporters=reporters.on_terminal, show=lambda done: show(done, plan.scope),
        say=table.line,
    )  # fmt: skip
    return 0


def fraction(text: str) -> float:
    """Parse the option ``amount``.

    Raises:
        ConfigError: If it is missing, or not a number above 0 and below 1.
    """
    if not text:
        raise ConfigError("amount is missing: give the fraction to remove, such as amount=0.9")
    with suppress(ConfigError):
        if (amount := option_values.number("amount", text, 0, 1)) < 1:
            return amount
    raise ConfigError(f"amount={text}: expected a number in (0, 1), the fraction to remove")


def check(scope: str, rounds: int, flags: dict[str, bool]) -> None:
    """Check that the options go together.

    Raises:
        ConfigError: If they do not.
    """
    if rounds > MOST_ROUNDS:
        raise ConfigError(f"rounds={rounds}: expected at most {MOST_ROUNDS}")
    if scope == "units" and (flags["rewind"] or flags["gradual"]):
        key = "rewind" if flags["rewind"] else "gradual"
        raise ConfigError(f"{key}=true is only for scope=weights")
    if flags["rewind"] and flags["gradual"]:
        raise ConfigError(
            "rewind=true prunes before the first step, and gradual=true during training: choose one of them"
        )
    if not flags["tune"] and (rounds > 1 or flags["rewind"] or flags["gradual"]):
        raise ConfigError("tune=false makes one run without training: leave out rounds, rewind and gradual")


def targets(output: Path | None, root: str, name: str, rounds: int) -> list[Path]:
    """Return the directories of the new runs: the output, or one in it for each of several rounds."""
    base = output or rundir.root_of(root) / rundir.new_name(name)
    return [base] if rounds == 1 else [base.with_name(f"{base.name}-round-{number}") for number in range(1, rounds + 1)]


def show(done: "Round", scope: str) -> None:
    """Print what a round has made, next to the run from which the first one was made."""
    from trainctl.train import cost

    table.line()
    if done.before:
        header, rows = cost.table(done.before, done.after)
        table.show(header, rows, right=set(header[1:]))
    if done.zeros:
        parts = [[name, f"{part:.4g}"] for name, part in done.zeros.items()]
        table.show(["weights", "of them 0"], parts, right={"of them 0"})
    if scope == "weights":
        table.line(DENSE)
