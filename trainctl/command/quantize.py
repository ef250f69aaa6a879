"""Store a run's weights with 8 bits.

    trainctl quantize [RUN] [calibrate=512] [tolerance=...] [which=best] [output=DIR] [root=runs]

RUN is a run's directory, its name, or a part of the name; without it, the newest run. Makes a new run whose weights
are 8-bit integers with one scale for each channel, about a quarter of the bytes. The inputs of its layers have 8
bits, too; their ranges are recorded on every k-th training row, at most `calibrate` of them. A run that was trained
with compress=int8 keeps the ranges of its training. RUN is only read.

    trainctl quantize my-run
    trainctl quantize my-run calibrate=2000 tolerance=0.01    exit code 9 if the monitored metric is worse by more

`evaluate`, `predict` and `compare` work on the new run and compute what 8 bits compute, with kernels for floating
point: it takes less space, not less time. Prints what both models cost. If too much accuracy is lost, train with
rounding: `trainctl finetune RUN compress=int8`, then quantize the result.
"""

from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments, launching, option_values
from trainctl.report import table
from trainctl.store import rundir
from trainctl.wording import amount

OPTIONS = {"calibrate": "512", "tolerance": "", "which": "best", "output": "", "root": "runs"}
ALLOWED = ("device", "threads", "dataset.root", "dataset.download", "loop.eval_batch_size")


def main(argv: Sequence[str]) -> int:
    """Check the arguments, import torch and make the run; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True, one_process="quantize")
    options = parsed.options
    which = option_values.choice("which", options["which"], ("best", "last"))
    rows = option_values.integer("calibrate", options["calibrate"], 1)
    tolerance = option_values.tolerance(options["tolerance"])
    output = option_values.new_path("output", options["output"])
    directory = rundir.find(parsed.names[0] if parsed.names else None, Path(options["root"]))
    packages, overrides = arguments.packages(parsed.overrides)
    launching.require_allowed(directory, packages, overrides, ALLOWED)
    launching.import_torch()
    from trainctl.finished.open import open as open_run
    from trainctl.finished.quantize import quantize
    from trainctl.train import cost

    run = open_run(directory, packages, overrides, ALLOWED, payloads=[which])
    made = quantize(run, which, rows, output)
    header, rows_of_table = cost.table(made.before, made.after)
    table.show(header, rows_of_table, right=set(header[1:]))
    source = amount(made.rows, "training row") if made.rows else "training"
    table.line(f"ranges of activations: from {source}")
    table.line(f"run: {made.directory}")
    cost.require_tolerable(made.before, made.after, tolerance)
    return 0
