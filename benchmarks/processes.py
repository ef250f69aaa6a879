"""Measure two processes beside two threads, and beside DistributedDataParallel, Lightning and Accelerate, as Markdown.

    python -m benchmarks.processes [--steps 300] [--runs 3] [--root DIRECTORY]

Everybody trains the network of `recipe=mnist_cnn` (225,034 weights, 0.9 MB) with batches of 128, on rows in memory. What is
compared is the time for a step. trainctl's is the training time that the run records, from the first step to the last,
divided by the steps, so recording the step is part of it; the others' begins after 20 steps. Runs are interleaved; the median
and the range are printed. Equal bits are those of the last weights.

The second table says how much of a step of two processes is the exchange: from the moment when the slower process has
computed its part until both have the sums; by shared memory, as always on one machine, and by gloo, as between machines. Run
it on a machine that does nothing else; a peer that is not installed is said so (`make bench` installs them into .venv-bench).
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from benchmarks import data, machine

WAYS = {
    "1 process, 2 threads": ["threads=2"],
    "1 process, 1 thread": ["threads=1"],
    "2 processes, 1 thread each": ["threads=1", "processes=2"],
    "2 processes, 1 thread each, `distributed.sum=fast`": ["threads=1", "processes=2", "distributed.sum=fast"],
}
REFERENCE = "1 process, 1 thread"
PEERS = {"ddp": "DistributedDataParallel by hand", "lightning": "Lightning", "accelerate": "Accelerate"}
ROWS, WARM_UP = 12_000, 20
MODULE = "benchmarks.processes"


def words(root: Path, steps: int, folder: Path) -> list[str]:
    """Return the words of a command that trains and does nothing else."""
    return [
        *("recipe=mnist_cnn", f"dataset.root={root}", "dataset.download=false", "device=cpu", "loop.micro_batches=2"),
        *(f"loop.max_steps={steps}", f"loop.eval_every_steps={steps}", "output.plots=false", f"output.root={folder}"),
    ]


def train(more: Sequence[str], root: Path, steps: int, folder: Path) -> tuple[float, str]:
    """Train, and return the time for a step [ms] and a digest of the last weights."""
    command = [sys.executable, "-m", "trainctl", *words(root, steps, folder), *more]
    subprocess.run(command, check=True, capture_output=True)
    (run,) = (path.parent for path in folder.glob("*/summary.json"))
    summary = json.loads((run / "summary.json").read_text())
    digest = hashlib.sha256()
    with safe_open(next((run / "checkpoints").glob(f"last-{steps:08d}*.safetensors")), "pt") as tensors:
        for name in sorted(tensors.keys()):
            digest.update(tensors.get_tensor(name).contiguous().view(-1).view(torch.uint8).numpy().data)
    return 1000 * summary["seconds"] / steps, digest.hexdigest()[:12]


def launched(processes: int, module: str, arguments: Sequence[object]) -> str | None:
    """Start a module in several processes by torchrun; return what it printed, or None if what it needs is not installed."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", module]
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def peer(name: str, processes: int, root: Path, steps: int) -> tuple[float, str] | None:
    """Train with a peer, and return the time for a step [ms] and a digest of the last weights; None: not installed."""
    printed = launched(processes, "benchmarks.peers.several_processes", [name, root, steps])
    if printed is None:
        return None
    answer: dict[str, Any] = json.loads(next(line for line in printed.splitlines() if line.startswith('{"')))
    return answer["milliseconds"], answer["digest"]


def mark(folder: Path, way: str, given: list[str]) -> None:
    """Train as one of several processes, and write when each step's part was computed, and when its sums were there [s]."""
    from trainctl.entry import main as command
    from trainctl.machine import shared_memory
    from trainctl.step.exchange import Exchange

    if way == "gloo":
        shared_memory.between = lambda place, share: None

    times: list[list[float]] = []
    plain = Exchange.__call__

    def marked(self: Exchange, compute: Any, statistics: int) -> Any:
        def computed() -> Any:
            found = compute()
            times.append([time.perf_counter()])
            return found

        result = plain(self, computed, statistics)
        times[-1].append(time.perf_counter())
        return result

    Exchange.__call__ = marked  # type: ignore[method-assign]
    sys.argv = ["trainctl", *given]
    code = command()
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(times))
    raise SystemExit(code)


def exchange(way: str, more: Sequence[str], root: Path, steps: int, folder: Path) -> list[tuple[float, float]]:
    """Return, for each step after the first ones, how long it took, and its exchange [ms]."""
    given = [*words(root, steps, folder / "runs"), "threads=1", *more]
    launched(2, MODULE, ["--mark", folder, way, *given])
    one, other = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    ready = [max(a[0], b[0]) for a, b in zip(one, other, strict=True)]
    done = [max(a[1], b[1]) for a, b in zip(one, other, strict=True)]
    steady = range(WARM_UP, len(done))
    return [(1000 * (done[step] - done[step - 1]), 1000 * (done[step] - ready[step])) for step in steady]


def spread(values: Sequence[float]) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def compare(root: Path, steps: int, runs: int) -> None:
    """Measure all ways in turn, and print a table."""
    times: dict[str, list[float]] = {}
    digests: dict[str, str] = {}
    for _ in range(runs):
        for name, more in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                taken, digests[name] = train(more, root, steps, Path(folder))
            times.setdefault(name, []).append(taken)
        for short, title in PEERS.items():
            for processes, ending in ((1, "1 process, 1 thread"), (2, "2 processes, 1 thread each")):
                if (found := peer(short, processes, root, steps)) is not None:
                    times.setdefault(f"{title}, {ending}", []).append(found[0])
                    digests[f"{title}, {ending}"] = found[1]
    print("| | a step [ms] | bits |\n|---|---|---|")
    for name, values in times.items():
        own = next((title for title in PEERS.values() if name.startswith(title)), "")
        reference = f"{own}, {REFERENCE}" if own else REFERENCE
        equal = "the reference" if name == reference else "equal" if digests[name] == digests[reference] else "others"
        print(f"| {name} | {spread(values)} | {equal} |")
    missing = [title for title in PEERS.values() if not any(name.startswith(title) for name in times)]
    if missing:
        print(f"\nNot installed: {', '.join(missing)}")


def share(root: Path, steps: int, runs: int) -> None:
    """Print how much of a step the exchange is."""
    print("\n| 2 processes, 1 thread each | a step [ms] | its exchange [ms] | share |\n|---|---|---|---|")
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(runs):
        # Of six parts each process computes two subtrees, so the back end must not add them, see `step/exchange.py`.
        for title, more in (("2 parts", []), ("6 parts, added along the tree", ["loop.micro_batches=6"])):
            for way in ("shared memory", "gloo"):
                with tempfile.TemporaryDirectory() as folder:
                    found.setdefault(f"{title}, {way}", []).extend(exchange(way, more, root, steps, Path(folder)))
    for name, pairs in found.items():
        step, part = (statistics.median(values) for values in zip(*pairs, strict=True))
        print(f"| {name} | {step:.2f} | {part:.2f} | {part / step:.1%} |")


def main() -> None:
    """Read the command line, measure and print."""
    if sys.argv[1:2] == ["--mark"]:
        mark(Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--root", type=Path, help="a directory with MNIST/raw/; a stand-in is made by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "data"
        data.make(root, "mnist", given.root, ROWS)
        print(f"{machine.processor()}, {machine.cores()} cores, torch {torch.__version__}, commit {machine.commit()}")
        print(f"{given.steps} steps, {given.runs} runs; the load before them was {os.getloadavg()[0]:.1f}\n")
        compare(root, given.steps, given.runs)
        share(root, given.steps, given.runs)


if __name__ == "__main__":
    main()
