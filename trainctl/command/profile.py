"""Show where the time of a training step goes, and what to change.

    trainctl profile [overrides] [steps=50] [output=trainctl-profile.json]

Trains a copy in memory, a few steps in each of several ways: in parts, each timed by itself; whole, as training
takes them; and whole with one thing changed, in turns with the run as it is. Advice is only what was measured to
be faster. Evaluation, reports and checkpoints are measured too, and dealt to the steps between two evaluations.
The learning rate is 0: the weights stay what they are.

    trainctl profile
    trainctl profile model=cnn loop.batch_size=256 device=cuda
    trainctl profile recipe=mnist_cnn steps=200 output=before.json
    trainctl profile optimizer=sgd output=

Takes every override that training takes. Operations are those of matrix products and convolutions, two for a
multiplication and an addition; the peak is a large matrix product in this process, with the same threads, device
and precision. Writes nothing but the trace, which chrome://tracing and https://ui.perfetto.dev show: by default
trainctl-profile.json, which the next one replaces; a file named by output= must not be there yet; output= writes none.
"""

import math
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainctl.command import arguments as words
from trainctl.errors import StorageError
from trainctl.report import table
from trainctl.settings import compose, config
from trainctl.store import files as storage

if TYPE_CHECKING:
    from trainctl.measure.profile import Profile
    from trainctl.measure.trials import Trial

DEFAULT = "trainctl-profile.json"
OPTIONS = {"steps": "50", "output": DEFAULT}
FEWEST_STEPS = 5
FASTER = 1.1  # times: what gains less is not advised
IDLE = 0.1  # of the peak: below it, a step is bound by what surrounds the arithmetic
AIM = 0.1  # share of the time that evaluation is advised to take
WIDTH = 110  # characters of a line of text
HEADERS = ["", "part", "ms a step", "share", "GFLOP/s"]


def main(arguments: Sequence[str]) -> int:
    """Check everything, then import torch and measure."""
    given = words.read(arguments, OPTIONS, most_names=0, overrides=True)
    steps = words.whole("steps", given.options["steps"], FEWEST_STEPS)
    output = given.options["output"]
    if output and output != DEFAULT and Path(output).exists():
        raise StorageError(f"output={output}: is there already")
    checked = config.load(compose.compose(given.overrides))
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch: its profiler tells stderr when it starts and ends
    from trainctl.measure import profile as profiler
    from trainctl.measure.trace import trace
    from trainctl.run import assemble

    run = assemble.assemble(checked)
    found = profiler.measure(run, steps)
    table.line(f"{profiler.describe(run)}\n")
    table.show(HEADERS, rows(found), right=HEADERS[2:], sections=True)
    table.line()
    for label, text in facts(found):
        table.line(wrapped(f"{label:<12}{text}", 12))
    table.line("\nWhat to change", style="bold")
    for text in advise(found) or ["nothing: no change that was tried is more than 10 % faster"]:
        table.line(wrapped(f"- {text}", 2))
    if output:
        write(Path(output), trace(run, found.recorded))
        table.line(f"\ntrace: {output}, for chrome://tracing or https://ui.perfetto.dev")
    return 0


def write(path: Path, content: bytes) -> None:
    """Write the trace, and its directory if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path.parent}: cannot be made: {error.strerror}") from error
    storage.write_bytes(path, content)


def rows(found: "Profile") -> list[list[str]]:
    """Return the table: an eager step in its parts, then a step as training takes it, with what else it costs."""
    from trainctl.measure.marks import PARTS

    cells = []
    for part in PARTS:
        seconds = found.part(part)
        cells.append(
            ["in parts", part, milliseconds(seconds), share(seconds, found.eager), speed(found, part, seconds)]
        )
    everything = "not counted" if found.achieved is None else giga(sum(found.flops.values()) / found.eager)
    cells.append(["in parts", "all", milliseconds(found.eager), "100 %", everything])
    epoch = trained(found)
    total = sum(epoch.values())
    for part, seconds in epoch.items():
        achieved = "not counted" if found.achieved is None else giga(found.achieved)
        cells.append(
            ["in training", part, milliseconds(seconds), share(seconds, total), achieved if part == "step" else ""]
        )
    cells.append(["in training", "all", milliseconds(total), "100 %", ""])
    return cells


def trained(found: "Profile") -> dict[str, float]:
    """Return what a step costs in training [s]: itself, and its share of what comes with an evaluation."""
    rare = {"evaluation": found.evaluation, "reporting": found.reporting, "checkpoint": found.checkpoint}
    return {"step": found.whole} | {name: seconds / found.eval_every for name, seconds in rare.items()}


def speed(found: "Profile", part: str, seconds: float | None) -> str:
    """Write the operations a second of a part; blank if it multiplies no matrices."""
    count = sum(value for key, value in found.flops.items() if key.partition(":")[0] == part)
    if found.achieved is None:
        return "not counted" if part in ("forward", "backward") else ""
    return giga(count / seconds) if count and seconds else ""


def wrapped(text: str, indent: int) -> str:
    """Break a line between words where a terminal is too narrow, and indent what follows."""
    wide = min(WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else WIDTH
    return "\n".join(
        textwrap.wrap(text, wide, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    )


def milliseconds(seconds: float | None) -> str:
    """Write a time, to a microsecond."""
    return "-" if seconds is None else f"{1000 * seconds:,.3f}"


def share(seconds: float | None, total: float) -> str:
    """Write a share of a time."""
    if seconds is None:
        return "-"
    return "<1 %" if 0 < seconds < 0.005 * total else f"{100 * seconds / total:.0f} %"


def giga(count: float) -> str:
    """Write operations a second; small ones with more digits.

    >>> giga(1.234e9), giga(2.5e13)
    ('1.23', '25,000')
    """
    return f"{count / 1e9:,.0f}" if count >= 1e11 else f"{count / 1e9:.3g}"


def size(count: float) -> str:
    """Write a number of bytes.

    >>> size(900), size(206376), size(3.5e9)
    ('900 B', '206 kB', '3.5 GB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} B"


def facts(found: "Profile") -> list[tuple[str, str]]:
    """Return what the table does not hold: speed, engine, arithmetic, memory."""
    facts = [("speed", f"{found.rows / found.whole:,.0f} samples/s, {1 / found.whole:,.0f} steps/s in training")]
    gain = ""
    if eager := next((trial for trial in found.trials if trial.word == "loop.record=never"), None):
        saved = 1 - eager.after / eager.before
        gain = f", which {'saves' if saved >= 0 else 'costs'} {100 * abs(saved):.0f} % of an eager step"
    facts.append(("engine", f"{found.engine}{gain}"))
    peak = f"{giga(found.peak)} GFLOP/s of a product of {found.peak_size} x {found.peak_size} matrices"
    if found.achieved is None:
        facts.append(
            ("arithmetic", f"not counted, as no formula knows {', '.join(found.uncounted)}; the peak is {peak}")
        )
    else:
        count = sum(found.flops.values())
        achieved = f"{giga(found.achieved)} GFLOP/s, {100 * found.achieved / found.peak:.3g} % of the {peak}"
        facts.append(("arithmetic", f"{count / 1e6:,.4g} MFLOP a step: {achieved}"))
    facts.append(("memory", ", ".join(f"{name} {size(count)}" for name, count in found.memory.items())))
    return facts


def advise(found: "Profile") -> list[str]:
    """Return what to change, the largest gain first; empty if nothing that was measured is worth it."""
    from trainctl.measure.profile import LARGE

    faster = sorted((trial for trial in found.trials if trial.gain > FASTER), key=lambda trial: -trial.gain)
    advice = [f"{trial.word}: {_times(trial)}{_remark(found, trial)}" for trial in faster]
    for part in ("data", "augmentation"):
        seconds = found.part(part) or 0.0
        if seconds > LARGE * found.eager:
            advice.append(_large_part(found, part, seconds))
    epoch = trained(found)
    total = sum(epoch.values())
    if epoch["evaluation"] > LARGE * total:
        every = rarer(found.evaluation, epoch["step"], found.eval_every)
        advice.append(
            f"loop.eval_every_steps={every}: evaluation takes {100 * epoch['evaluation'] / total:.0f} % of the time,"
            f" {1000 * found.evaluation:.3g} ms each time; so it takes about {100 * AIM:.0f} %"
        )
    for part, word in (("checkpoint", "a larger checkpoint.every_seconds"), ("reporting", "fewer members of logger")):
        if epoch[part] > LARGE * total:
            advice.append(
                f"{word}, or a larger loop.eval_every_steps: {part} takes {100 * epoch[part] / total:.0f} % of the time"
            )
    return advice


def _times(trial: "Trial") -> str:
    return f"{trial.gain:.2f} times as fast ({trial.before:,.0f} to {trial.after:,.0f} samples/s)"


def _remark(found: "Profile", trial: "Trial") -> str:
    """Say what a change means beside its speed."""
    key = trial.word.partition("=")[0]
    if key == "loop.batch_size":
        idle = found.achieved is not None and found.achieved < IDLE * found.peak
        bound = (
            f"; a step of {found.rows} reaches {100 * (found.achieved or 0) / found.peak:.2g} % of the peak"
            if idle
            else ""
        )
        return f"{bound}; it trains differently: see trainctl find-batch-size and find-lr"
    return {
        "precision": "; results change in their last digits, with bf16 in the third",
        "loop.clip_norm": ", if the training is stable without clipping",
        "loop.clip_value": ", if the training is stable without clipping",
        "loop.eval_batch_size": " in evaluation",
        "loop.record": "; results stay the same",
    }.get(key, "")


def _large_part(found: "Profile", part: str, seconds: float) -> str:
    """Say what takes most of a large part."""
    members = {key: value for key, value in found.parts.items() if key.startswith(f"{part}:")}
    taken = f"{100 * seconds / found.eager:.0f} % of an eager step ({1000 * seconds:.3g} ms)"
    if not members:
        return f"gathering rows takes {taken}: loop.batch_size=full gathers none, smaller rows take less"
    costly = max(members, key=lambda key: members[key])
    name = costly.partition(":")[2]
    return f"leave out or replace {part} {name}: {part} takes {taken}, {name} {100 * members[costly] / seconds:.0f} % of that"


def rarer(evaluation: float, step: float, every: int) -> int:
    """Return a multiple of the steps between evaluations with which evaluation takes about a tenth of the time.

    >>> rarer(evaluation=0.02, step=0.001, every=40)
    200
    """
    wanted = evaluation * (1 - AIM) / AIM / step
    return every * max(2, math.ceil(wanted / every))
