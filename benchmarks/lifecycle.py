"""Time what follows training: steps that prune, rewire or learn from a teacher, and verbs; print it as Markdown.

    python -m benchmarks.lifecycle [--rounds 7] [--seconds 0.5] [--runs 5]

Steps: every round times each way for a while, in turn, beginning with another one; a ratio to the plain step is taken
within a round. The teacher's outputs are stored, as they are without augmentation. Verbs: whole commands on a run of
the digits, beside `import torch`, in turn. Run it on a machine that does nothing else.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import spread
from benchmarks.start import wall

NETWORK = ["dataset=digits", "model=mlp", "device=cpu", "threads=1"]
WAYS = {
    "plain": [],
    "`compress=prune`": ["compress=[prune]"],
    "`compress=rigl`": ["compress=[rigl]"],
    "`teacher=run`, outputs stored": ["teacher=run", "teacher.runs=[{parent}]"],
}
VERBS = {
    "prune": ["prune", "{parent}", "amount=0.5", "tune=false"],
    "quantize": ["quantize", "{parent}"],
    "merge": ["merge", "{parent}", "{second}"],
    "ensemble": ["ensemble", "{parent}", "{second}"],
    "split": ["split", "{parent}", "parts=2"],
    "lineage": ["lineage", "{parent}"],
    "explain": ["explain", "{parent}"],
    "export": ["export", "{parent}", "format=safetensors", "output={number}.safetensors"],
}


def steps(parent: Path, rounds: int, seconds: float) -> list[str]:
    """Return a table of the time of a step, each way."""
    from benchmarks.step import timed  # imports torch, which the verbs do not need here
    from trainctl.measure.steps import WARM_UP, repeated
    from trainctl.run import assemble
    from trainctl.settings import compose
    from trainctl.step.engine import Engine
    from trainctl.train import parentage

    take = {}
    for way, words in WAYS.items():
        config = compose.compose([*NETWORK, *(word.format(parent=parent) for word in words)])
        run = assemble.assemble(config, parents=parentage.find(config))
        take[way] = repeated(run, Engine(run, print).take)
        for _ in range(WARM_UP + 2 * min(run.plan.steps_per_epoch, 100)):
            take[way]()
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        ways = list(WAYS)
        for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
            times[way].append(1e6 * timed(take[way], seconds))
    lines = ["| step | time [us] | times the plain step |", "|---|---|---|"]
    for way, own in times.items():
        ratios = [one / plain for one, plain in zip(own, times["plain"], strict=True)]
        lines.append(f"| {way} | {spread(own, 0)} | {spread(ratios, 2) if way != 'plain' else ''} |")
    return lines


def verbs(parent: Path, second: Path, directory: str, runs: int) -> list[str]:
    """Return a table of whole commands."""
    rows = {"`import torch`": ["-c", "import torch"]}
    rows |= {f"`trainctl {verb}`": ["-m", "trainctl", *words] for verb, words in VERBS.items()}
    times: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(runs):
        names = list(rows)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            words = [word.format(parent=parent, second=second, number=turn) for word in rows[name]]
            times[name].append(wall(words, directory))
    lines = ["| command | time [s] | beyond `import torch` [s] |", "|---|---|---|"]
    bare = statistics.median(times["`import torch`"])
    for name, own in times.items():
        beyond = [one - bare for one in own]
        lines.append(f"| {name} | {spread(own, 2)} | {spread(beyond, 2) if name != '`import torch`' else ''} |")
    return lines


def train(directory: str, seed: int) -> Path:
    """Train a run, and return its directory."""
    words = [sys.executable, "-m", "trainctl", *NETWORK, "loop.epochs=2", f"seed={seed}", f"output.root=runs{seed}"]
    subprocess.run(words, cwd=directory, env=os.environ | {"PYTHONPATH": os.getcwd()}, capture_output=True, check=True)
    return next(path for path in Path(directory, f"runs{seed}").iterdir() if (path / "summary.json").exists())


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of the steps")
    parser.add_argument("--seconds", type=float, default=0.5, help="that each way is timed in a round")
    parser.add_argument("--runs", type=int, default=5, help="of each command")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        parent, second = train(directory, 0), train(directory, 1)
        if given.runs:
            print("\n".join(verbs(parent, second, directory, given.runs)), "\n", sep="\n")
        print("\n".join(steps(parent, given.rounds, given.seconds)))


if __name__ == "__main__":
    main()
