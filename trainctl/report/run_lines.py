"""What is said of a run before, at its start and after its end, as lines of plain text. Imports no torch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.report import table
from trainctl.settings import project
from trainctl.settings.config import unusable
from trainctl.wording import amount, shell_words

if TYPE_CHECKING:  # they import torch, or Hydra's files
    from trainctl.run.run import Run
    from trainctl.settings.config import Config, Loop
from trainctl.report.phrases import Line, count, counted, duration, epochs, number, pasteable

MOST_LAYERS = 12  # lines of a header about the weights with which a model starts


def announcement(config: "Config") -> str:
    """Return what will be trained, in a line that is shown while PyTorch is loaded."""
    parts, loop = config.parts, config.loop
    budgets = [amount(loop.epochs, "epoch")] if loop.epochs else []
    budgets += [amount(loop.max_steps, "step")] if loop.max_steps else []
    budgets += [loop.max_time] if loop.max_time else []
    names = [str(parts[group]["name"]) for group in ("model", "dataset", "loss", "optimizer")]
    batches = "the whole split" if loop.batch_size == "full" else f"batches of {loop.batch_size}"
    return f"train   {names[0]} on {names[1]}: {names[2]}, {names[3]}, {batches}, {' or '.join(budgets)}"


def _teacher(run: "Run") -> list[Line]:
    """Return the line of the teacher in the header; none if there is no teacher."""
    name = str(run.config.parts["teacher"]["name"])
    names = ", ".join(table.printable(parent.name) for parent in run.parents if parent.role == "teacher")
    return [] if name == "none" else [("teacher", f"{name}: {names}" if names else name)]


def _weights(run: "Run") -> list[Line]:
    """Return how each layer starts; of many layers, those that are taken as they are become one line."""
    taken = [entry for entry in run.starts if entry.state == "taken"]
    many = len(taken) > MOST_LAYERS
    shown = [entry for entry in run.starts if not many or entry.state != "taken"]
    lines = [("weights", f"{entry.layer}: {entry.state}, {entry.why}") for entry in shown]
    return (
        [("weights", f"{len(taken)} layers: taken, {taken[0].layer} to {taken[-1].layer}"), *lines] if many else lines
    )


def processes(run: "Run") -> str:
    """Return how many processes train a run, and on how many machines."""
    hosts = list(dict.fromkeys(run.world.link.hosts)) if run.world.link else []
    where = f" on {hosts[0]}" if len(hosts) == 1 else f" on {len(hosts)} machines" if hosts else ""
    way = "; gradients are added in any order" if run.config.distributed.sum == "fast" else ""
    return f"{run.world.size} processes{where}, {amount(run.config.loop.micro_batches, 'part')} of a batch{way}"


def header(run: "Run", directory: Path) -> list[Line]:
    """Return the header of a run: its directory, device, model, data, and notes on the data."""
    from trainctl.machine import device  # here, because commands that only print numbers do not need torch

    config, data = run.config, run.data
    sizes = ", ".join(f"{len(rows):,} {split}" for split, rows in data.splits.items())
    if data.without_label is not None:
        sizes += f", {len(data.without_label):,} train without a label"
    shape = "x".join(map(str, data.schema.input_shape))
    task = f"{len(data.schema.class_names)} classes" if data.schema.class_names else run.task
    return [
        ("run", str(directory)),
        ("device", f"{device.name(run.device, run.threads)}, {config.precision}"),
        *([("world", processes(run))] if run.world.size > 1 else []),
        ("model", f"{config.members('model')[0]['name']}, {amount(run.parameters, 'parameter')}"),
        ("data", f"{config.parts['dataset']['name']}: {sizes}; samples of shape {shape}, {task}"),
        *((label, text) for label, text in data.inferred),
        *_teacher(run),
        *(("clean", change) for change in data.changes),
        *_weights(run),
        *(("note", note) for note in data.notes),
    ]


def closing(summary: Mapping[str, Any], directory: Path, loop: "Loop", packages: Sequence[str] = ()) -> list[Line]:
    """Return how a run ended, its directory, and which commands make sense next.

    A line without a label continues the one above.
    """
    lines = [(str(summary.get("outcome", "ended")), str(summary.get("reason", "")))]
    if best := summary.get("best"):
        value = f"{summary.get('monitor', 'value')} {_json_number(best['value'])}"
        lines.append(("best", f"{value} at epoch {epochs(best['epoch'])}, step {count(best['step'])}"))
    measured = summary.get("metrics") or {}
    if test := [name for name in measured if name.startswith("test/")]:
        lines.append(("test", ", ".join(f"{name[5:]} {_json_number(measured[name])}" for name in test)))
        lines += _context(summary)
    lines.append(("time", _effort(summary)))
    lines.append(("run", str(directory)))
    commands = next_commands(directory, str(summary.get("outcome")), loop, argument_here(packages))
    return lines + [("next" if not index else "", command) for index, command in enumerate(commands)]


def _context(summary: Mapping[str, Any]) -> list[Line]:
    """Return how uncertain the metrics of the test split are, and what a trivial model reaches."""
    ends = summary.get("intervals") or {}
    lines = [
        ("", f"95 % interval of {name.rpartition('/')[2]}: {number(low)} to {number(high)}")
        for name, (low, high) in ends.items()
    ]
    if trivial := summary.get("trivial"):
        values = ", ".join(
            f"{name.rpartition('/')[2]} {_json_number(value)}" for name, value in trivial["metrics"].items()
        )
        lines.append(("trivial", f"{values}: {table.printable(trivial['what'])}"))
    if warning := summary.get("warning"):
        lines.append(("warning", table.printable(warning)))
    return lines


def _json_number(value: float | None) -> str:
    """Format a metric from a JSON file, where null stands for NaN."""
    return number(math.nan if value is None else value)


def _effort(summary: Mapping[str, Any]) -> str:
    steps, passes = count(summary.get("steps")), epochs(summary.get("epochs"))
    speed = count(summary.get("samples_per_second"))
    return (
        f"{duration(summary.get('seconds'))}, {counted(steps, 'step')}, {counted(passes, 'epoch')}, {speed} samples/s"
    )


def components_argument(packages: Sequence[str]) -> str:
    """Return the argument that loads the user's own components, with a space before it; empty if there are none."""
    return " " + shell_words([f"components=[{','.join(packages)}]"]) if packages else ""


def argument_here(packages: Sequence[str]) -> str:
    """Return the same for a command that is typed in this directory: those of its project need not be typed."""
    return "" if set(packages) <= set(project.packages()) else components_argument(packages)


def next_commands(directory: Path, outcome: str, loop: "Loop", components: str = "") -> list[str]:
    """Return the commands that make sense after a run, ready to paste; none if a failed run has no checkpoint."""
    path = pasteable(directory)
    resume, evaluate = f"trainctl resume {path}{components}", f"trainctl evaluate {path}{components}"
    if outcome == "failed" and (directory / "nonfinite.json").is_file():  # unchanged, it would only fail again
        return [f"{resume} loop.on_nonfinite={way}" for way in ("skip", "rewind")]
    if outcome == "failed":
        return [resume] if (directory / "checkpoints").is_dir() else []
    if outcome != "finished":
        return [resume, evaluate]
    return [
        evaluate,
        f"trainctl predict {path} INPUT{components}",
        f"{resume} {' '.join(longer(loop))}",
        f"trainctl compare {path} OTHER_RUN",
    ]


def longer(loop: "Loop") -> list[str]:
    """Return the overrides that double a run's budget.

    >>> from dataclasses import replace
    >>> from trainctl.settings.config import Loop
    >>> loop = Loop(20, None, "1.5h", 32, 1024, 1, None, None, None, None, "stop", "auto", False, False)
    >>> longer(loop), longer(replace(loop, epochs=None, max_steps=100, max_time=None))
    (['loop.epochs=40', 'loop.max_time=3h'], ['loop.max_steps=200'])
    """
    budgets = {"epochs": loop.epochs, "max_steps": loop.max_steps}
    overrides = [f"loop.{name}={2 * value}" for name, value in budgets.items() if value]
    if loop.max_time:
        twice = f"{2 * float(loop.max_time[:-1]):f}".rstrip("0").rstrip(".") + loop.max_time[-1]
        if not unusable(twice):
            overrides.append(f"loop.max_time={twice}")
    return overrides
