"""Show where the time of a training step goes, and what to change.

    trainctl profile [FILE] [overrides] [steps=50] [output=trainctl-profile.json]

It trains a copy in memory for a few steps in several ways: split into parts that are timed separately; whole, as in
training; and whole with one setting changed, alternating with the unchanged run. It recommends only changes that were
measured to be faster. Evaluation, reports and checkpoints are measured too; their time is divided by the number of
steps between two evaluations. It uses a learning rate of 0, so the weights do not change. Memory is what is held
between steps, and what a step takes in addition, with activations kept and computed again.

    trainctl profile
    trainctl profile model=cnn loop.batch_size=256 device=cuda
    trainctl profile penguins.csv
    trainctl profile recipe=mnist_cnn steps=200 output=before.json
    trainctl profile optimizer=sgd output=

It accepts every FILE and override that training accepts. Operations are counted in matrix products and convolutions; a
multiplication and an addition count as two. The peak is the speed of a large matrix product in this process, with the
same threads, device and precision. The only file written is a trace for chrome://tracing or
https://ui.perfetto.dev: by default trainctl-profile.json, which the next profile replaces; a file named by output=
must not exist yet; an empty output= writes none.
"""

import math
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainctl.command import arguments, launching, option_values
from trainctl.errors import StorageError, format_bytes
from trainctl.fileformat.waiting import waiting
from trainctl.report import table
from trainctl.settings import early, project
from trainctl.store import files as storage

if TYPE_CHECKING:
    launching.import_torch()
    from trainctl.measure.footprint import Footprint
    from trainctl.measure.profile import Profile
    from trainctl.measure.trials import Trial

DEFAULT = "trainctl-profile.json"
OPTIONS = {"steps": "50", "output": DEFAULT}
FEWEST_STEPS = 5
FASTER = 1.1  # times as fast; changes with a smaller gain are not recommended
IDLE = 0.1  # fraction of the peak; below it, a step is not limited by arithmetic
AIM = 0.1  # fraction of the time that evaluation should take
WIDTH = 110  # characters per line of text
HEADERS = ["", "part", "ms/step", "share", "GFLOP/s"]


def main(argv: Sequence[str]) -> int:
    """Check all arguments, import torch and measure; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=0, overrides=True, composes=True)
    steps = option_values.integer("steps", parsed.options["steps"], FEWEST_STEPS)
    output = parsed.options["output"]
    if output != DEFAULT:
        option_values.new_path("output", output)
    checked = project.composed(parsed.overrides, parsed.config_dir)[0]
    early.require_data(checked)
    launching.require_one_process(checked, "profile")
    os.environ.setdefault(
        "KINETO_LOG_LEVEL", "99"
    )  # before torch: its profiler writes to stderr when it starts and ends
    from trainctl.measure import profile as profiler
    from trainctl.measure.trace import trace
    from trainctl.run import assemble
    from trainctl.train import parentage

    run = assemble.assemble(checked, parents=parentage.find(checked))
    with waiting("measuring steps"):
        profile = profiler.measure(run, steps)
    table.line(profiler.describe(run))
    table.line()
    table.show(HEADERS, rows(profile), right=HEADERS[2:], sections=True)
    table.line()
    for label, text in facts(profile):
        table.lines(wrapped(f"{label:<12}{text}", 12))
    table.line()
    table.line("What to change", style="bold")
    for text in advise(profile) or ["nothing: none of the changes tried is more than 10 % faster"]:
        table.lines(wrapped(f"- {text}", 2))
    if output:
        write(Path(output), trace(run, profile.recorded))
        table.line()
        table.line(f"trace: {output}, for chrome://tracing or https://ui.perfetto.dev")
    return 0


def write(path: Path, content: bytes) -> None:
    """Write the trace; create its directory if necessary."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path.parent}: cannot create directory: {error.strerror}") from error
    storage.write_bytes(path, content)


def rows(profile: "Profile") -> list[list[str]]:
    """Return the rows of the table: the parts of an eager step, then a step in training with its additional costs."""
    from trainctl.measure.marks import PARTS

    cells = []
    for part in PARTS:
        seconds = profile.part(part)
        cells.append(
            ["in parts", part, milliseconds(seconds), percentage(seconds, profile.eager), speed(profile, part, seconds)]
        )
    overall = "not counted" if profile.achieved is None else giga(sum(profile.flops.values()) / profile.eager)
    cells.append(["in parts", "all", milliseconds(profile.eager), "100 %", overall])
    costs = training_costs(profile)
    total = sum(costs.values())
    for part, seconds in costs.items():
        achieved = "not counted" if profile.achieved is None else giga(profile.achieved)
        cells.append(
            ["in training", part, milliseconds(seconds), percentage(seconds, total), achieved if part == "step" else ""]
        )
    cells.append(["in training", "all", milliseconds(total), "100 %", ""])
    return cells


def training_costs(profile: "Profile") -> dict[str, float]:
    """Return the costs of a training step [s]: the step itself, and its share of evaluation, reporting, checkpoint."""
    rare = {"evaluation": profile.evaluation, "reporting": profile.reporting, "checkpoint": profile.checkpoint}
    return {"step": profile.whole} | {name: seconds / profile.eval_every for name, seconds in rare.items()}


def speed(profile: "Profile", part: str, seconds: float | None) -> str:
    """Format the operations per second of a part; empty if it contains no counted operation."""
    count = sum(value for key, value in profile.flops.items() if key.partition(":")[0] == part)
    if profile.achieved is None:
        return "not counted" if part in ("forward", "backward") else ""
    return giga(count / seconds) if count and seconds else ""


def wrapped(text: str, indent: int) -> str:
    """Wrap a line at the terminal's width, between words; indent its continuation."""
    wide = min(WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else WIDTH
    return "\n".join(
        textwrap.wrap(text, wide, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    )


def milliseconds(seconds: float | None) -> str:
    """Format a time in milliseconds, with a resolution of a microsecond."""
    return "-" if seconds is None else f"{1000 * seconds:,.3f}"


def percentage(seconds: float | None, total: float) -> str:
    """Format a part of a total time as a percentage."""
    if seconds is None:
        return "-"
    return "<1 %" if 0 < seconds < 0.005 * total else f"{100 * seconds / total:.0f} %"


def giga(count: float) -> str:
    """Format operations per second in units of 10^9; small numbers have more digits.

    >>> giga(1.234e9), giga(2.5e13)
    ('1.23', '25,000')
    """
    return f"{count / 1e9:,.0f}" if count >= 1e11 else f"{count / 1e9:.3g}"


def facts(profile: "Profile") -> list[tuple[str, str]]:
    """Return a label and a text for each fact below the table: speed, engine, arithmetic, memory."""
    facts = [("speed", f"{profile.rows / profile.whole:,.0f} samples/s, {1 / profile.whole:,.0f} steps/s in training")]
    gain = ""
    if eager := next((trial for trial in profile.trials if trial.word == "loop.record=never"), None):
        saved = 1 - eager.after / eager.before
        gain = f", which {'saves' if saved >= 0 else 'costs'} {100 * abs(saved):.0f} % of an eager step"
    facts.append(("engine", f"{profile.engine}{gain}"))
    peak = (
        f"peak ({giga(profile.peak)} GFLOP/s, measured with a {profile.peak_size}x{profile.peak_size} matrix product)"
    )
    if profile.achieved is None:
        facts.append(("arithmetic", f"not counted: there is no formula for {', '.join(profile.uncounted)}; {peak}"))
    else:
        count = sum(profile.flops.values())
        achieved = f"{giga(profile.achieved)} GFLOP/s, {100 * profile.achieved / profile.peak:.3g} % of {peak}"
        facts.append(("arithmetic", f"{count / 1e6:,.4g} MFLOP per step: {achieved}"))
    facts.append(("memory", ", ".join(f"{name} {format_bytes(size)}" for name, size in profile.memory.items())))
    facts += [("of a step", footprint(each)) for each in profile.footprints]
    return facts


def footprint(measured: "Footprint") -> str:
    """Describe the memory that an eager step takes in addition."""
    return (
        f"{format_bytes(measured.peak)} more at its peak, {format_bytes(measured.activations)} of it activations, in"
        f" {milliseconds(measured.seconds)} ms with {measured.word}"
    )


def advise(profile: "Profile") -> list[str]:
    """Return recommended changes, the largest gain first; empty if no measured change is worthwhile."""
    from trainctl.measure.profile import LARGE

    faster = sorted((trial for trial in profile.trials if trial.gain > FASTER), key=lambda trial: -trial.gain)
    advice = [f"{trial.word}: {_times(trial)}{_remark(profile, trial)}" for trial in faster]
    for part in ("data", "augmentation"):
        seconds = profile.part(part) or 0.0
        if seconds > LARGE * profile.eager:
            advice.append(_large_part(profile, part, seconds))
    costs = training_costs(profile)
    total = sum(costs.values())
    if costs["evaluation"] > LARGE * total:
        every = rarer(profile.evaluation, costs["step"], profile.eval_every)
        advice.append(
            f"loop.eval_every_steps={every}: evaluation takes {100 * costs['evaluation'] / total:.0f} % of the time,"
            f" {1000 * profile.evaluation:.3g} ms each; this reduces it to about {100 * AIM:.0f} %"
        )
    for part, change in (("checkpoint", "a larger checkpoint.every_seconds"), ("reporting", "fewer loggers")):
        if costs[part] > LARGE * total:
            advice.append(
                f"{change}, or a larger loop.eval_every_steps: {part} takes {100 * costs[part] / total:.0f} % of the time"
            )
    return advice


def _times(trial: "Trial") -> str:
    return f"{trial.gain:.2f} times as fast ({trial.before:,.0f} to {trial.after:,.0f} samples/s)"


def _remark(profile: "Profile", trial: "Trial") -> str:
    """Return a remark on the effects of a change other than speed."""
    key = trial.word.partition("=")[0]
    if key == "loop.batch_size":
        idle = profile.achieved is not None and profile.achieved < IDLE * profile.peak
        bound = (
            f"; a batch of {profile.rows} reaches {100 * (profile.achieved or 0) / profile.peak:.2g} % of the peak"
            if idle
            else ""
        )
        return f"{bound}; this changes training: see trainctl find-batch-size and find-lr"
    return {
        "precision": "; results change in the last digits, with bf16 in the third",
        "loop.clip_norm": ", if the training is stable without clipping",
        "loop.clip_value": ", if the training is stable without clipping",
        "loop.eval_batch_size": " in evaluation",
        "loop.record": "; results stay the same",
        "loop.checkpoint_activations": ", if there is memory for the activations; results stay the same",
        "loop.compile": ", and nothing is compiled at the start; results change in the last digits",
    }.get(key, "")


def _large_part(profile: "Profile", part: str, seconds: float) -> str:
    """Return advice about a large part of the step; it names the component that takes most of its time."""
    members = {key: value for key, value in profile.parts.items() if key.startswith(f"{part}:")}
    amount = f"{100 * seconds / profile.eager:.0f} % of an eager step ({1000 * seconds:.3g} ms)"
    if not members:
        return f"gathering rows takes {amount}: loop.batch_size=full avoids it, smaller samples reduce it"
    slowest = max(members, key=lambda key: members[key])
    name = slowest.partition(":")[2]
    return f"remove or replace {part} {name}: {part} takes {amount}, {name} {100 * members[slowest] / seconds:.0f} % of that"


def rarer(evaluation: float, step: float, every: int) -> int:
    """Return a multiple of the steps between evaluations for which evaluation takes about a tenth of the time.

    >>> rarer(evaluation=0.02, step=0.001, every=40)
    200
    """
    between = evaluation * (1 - AIM) / AIM / step
    return every * max(2, math.ceil(between / every))
