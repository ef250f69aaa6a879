"""Time an optimizer step, eager and recorded, side by side in one process, and print it as Markdown.

    python -m benchmarks.step [--root DIRECTORY] [--rounds 15] [--seconds 0.5] [--threads N] [--workloads small,mlp]

Every round times each way for a while, in turn, beginning with another one; a row has the median of the rounds, their
range, and the median of the ratios to the eager step of the same round. What is timed is a step as the training loop
takes it: the next batch, the rate, forward, backward, update. Run it on a machine that does nothing else.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import data
from trainctl.measure.steps import WARM_UP, repeated
from trainctl.run import assemble
from trainctl.run.run import Run
from trainctl.settings import compose
from trainctl.step.engine import Engine

WORKLOADS = {
    "small": ("MLP 64-32-10 on digits, batch 32", ["model.hidden=[32]", "model.norm=none", "model.dropout=0.0"]),
    "default": ("the default MLP 64-256-128-10, layer norm, dropout, batch 32", []),
    "mlp": ("MLP 784-128-10, batch 32", ["recipe=mnist_mlp_128"]),
    "mlp2": ("MLP 784-64-64-10, batch 32", ["recipe=mnist_mlp_64x64"]),
    "cnn": ("CNN 32-64-128, 3x3, dropout, batch 128", ["recipe=mnist_cnn"]),
    "lstm": ("LSTM over 28 rows, 128 wide, batch 128, clipped", ["recipe=mnist_rnn"]),
}
WAYS = {"eager": "never", "recorded": "always"}  # what is printed, and loop.record
ROWS = 6000


def make(name: str, way: str, root: Path) -> Run:
    """Assemble a workload's run."""
    words = [*WORKLOADS[name][1], f"loop.record={WAYS[way]}", "device=cpu"]
    if any(word.startswith("recipe=mnist") for word in words):
        words += [f"dataset.root={root}", "dataset.download=false"]
    return assemble.assemble(compose.compose(words))


def stepper(run: Run) -> tuple[Callable[[], None], Engine]:
    """Return what takes a run's next step, after the first ones, and its engine."""
    engine = Engine(run, print)
    take = repeated(run, engine.take)
    for _ in range(WARM_UP + 2 * min(run.plan.steps_per_epoch, 100)):  # a last, smaller batch is recorded, too
        take()
    return take, engine


def timed(take: Callable[[], None], seconds: float) -> float:
    """Return the mean time of a step [s] over a while."""
    start, count = time.perf_counter(), 0
    while True:
        for _ in range(5):
            take()
        count += 5
        if (passed := time.perf_counter() - start) > seconds:
            return passed / count


def measure(name: str, root: Path, rounds: int, seconds: float) -> None:
    """Measure a workload and print its rows."""
    made = {way: stepper(make(name, way, root)) for way in WAYS}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        ways = list(WAYS)
        for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
            times[way].append(timed(made[way][0], seconds))
    for way, found in times.items():
        ratio = statistics.median(first / own for first, own in zip(times["eager"], found, strict=True))
        micro = [1e6 * value for value in found]
        row = (
            WORKLOADS[name][0],
            str(made[way][1]).replace("|", "/"),
            f"{statistics.median(micro):,.0f}",
            f"{min(micro):,.0f}..{max(micro):,.0f}",
            f"{ratio:.2f}",
        )
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a directory with MNIST/raw/; a stand-in is made by default")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each way in a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "data"
        data.make(root, "mnist", given.root, ROWS)
        print(f"torch {torch.__version__}, {given.threads} threads, {given.rounds} rounds\n")
        print("| workload | step | median [us] | range [us] | times as fast as eager |\n|---|---|---|---|---|")
        for name in given.workloads.split(","):
            measure(name, root, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
