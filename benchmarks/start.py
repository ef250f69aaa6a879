"""Time how fast trainctl starts beside what it has to import, in turn, and print it as Markdown.

    python -m benchmarks.start [--runs 11]

`--help` and a mistake stand beside a bare `import hydra`; the first step of a run on the digits beside `import torch`.
Every row is a process of its own. Run it on a machine that does nothing else.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

# Ends the process when the first step begins: what came before is the start.
FIRST_STEP = """
import os, sys
from trainctl import cli
from trainctl.step import engine
engine.optimizer_step = lambda *_, **__: lambda inputs, targets: os._exit(0)  # what ends without a step ends with 1
sys.argv = ["trainctl", "loop.epochs=1"]
cli.main()
os._exit(1)
"""
ROWS = {
    "`import hydra`": ["-c", "import hydra"],
    "`trainctl --help`": ["-m", "trainctl", "--help"],
    "`trainctl optimizer=adm`": ["-m", "trainctl", "optimizer=adm"],
    "`trainctl list`": ["-m", "trainctl", "list"],
    "`import torch`": ["-c", "import torch"],
    "`trainctl loop.epochs=1`, to its first step": ["-c", FIRST_STEP],
}


def wall(arguments: list[str], directory: str) -> float:
    """Return how long Python takes with these arguments [s]; what ends in another way than expected is no measurement."""
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode != (2 if "optimizer=adm" in arguments else 0):
        raise SystemExit(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return seconds


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as directory:
        rounds = [{name: wall(row, directory) for name, row in ROWS.items()} for _ in range(runs + 1)][1:]
    print("|  | median [s] | range [s] |\n|---|---|---|")
    for name in ROWS:
        times = [found[name] for found in rounds]
        print(f"| {name} | {statistics.median(times):.2f} | {min(times):.2f}..{max(times):.2f} |")


if __name__ == "__main__":
    main()
