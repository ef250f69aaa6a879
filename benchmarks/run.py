"""Run trainctl beside a hand-written loop on MNIST's files, in turn, and print the ratio.

    python benchmarks/run.py [ROOT] [--runs 5] [--epochs 3]

ROOT is a directory with `MNIST/raw/`; without it, scikit-learn's digits, enlarged, stand in. Both train the
network of `recipe=mnist_cnn` on the same files with the same batch size, optimizer, epochs and threads, and
evaluate after each epoch. Run it on a machine that does nothing else.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

HERE = Path(__file__).parent


def ours(root: Path, epochs: int) -> tuple[float, float]:
    """Return trainctl's seconds per epoch and test accuracy."""
    with tempfile.TemporaryDirectory() as runs:
        overrides = [f"dataset.root={root}", f"loop.epochs={epochs}", f"output.root={runs}", "output.plots=false"]
        subprocess.run(
            [sys.executable, "-m", "trainctl", "recipe=mnist_cnn", *overrides], check=True, stdout=subprocess.DEVNULL
        )
        summary = json.loads(next(Path(runs).glob("*/summary.json")).read_text())
    return summary["seconds"] / epochs, summary["metrics"]["test/accuracy"]


def by_hand(root: Path, epochs: int) -> tuple[float, float]:
    """Return the hand-written loop's seconds per epoch and test accuracy."""
    done = subprocess.run(
        [sys.executable, HERE / "handwritten.py", root, str(epochs)], check=True, capture_output=True, text=True
    )
    seconds, accuracy = map(float, done.stdout.split())
    return seconds, accuracy


def stand_in(root: Path) -> None:
    """Write 6,000 + 1,000 of scikit-learn's digits, enlarged to 28 x 28 pixels, as MNIST's files."""
    digits = load_digits()
    images = np.pad(np.kron(digits.images * (255 / 16), np.ones((1, 3, 3))), ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rows = np.random.default_rng(0).permutation(np.arange(7000) % len(images))
    for part, chosen in (("train", rows[:6000]), ("t10k", rows[6000:])):
        size = len(chosen).to_bytes(4, "big")
        shape = size + (28).to_bytes(4, "big") * 2
        (raw / f"{part}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + shape + images[chosen].tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            b"\0\0\x08\x01" + size + digits.target[chosen].astype(np.uint8).tobytes()
        )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    if given.root and not (given.root / "MNIST" / "raw").is_dir():
        parser.error(f"{given.root / 'MNIST' / 'raw'}: no such directory")
    with tempfile.TemporaryDirectory() as folder:
        if given.root is None:
            stand_in(Path(folder))
        measure(given.root or Path(folder), given.runs, given.epochs)


def measure(root: Path, runs: int, epochs: int) -> None:
    """Run both in turn; print medians, ranges and the ratio pair by pair."""
    pairs = [(ours(root, epochs), by_hand(root, epochs)) for _ in range(runs)]
    print(f"{platform.machine()}, Python {platform.python_version()}, {runs} runs of {epochs} epochs in turn")
    for name, results in zip(("trainctl", "hand-written"), zip(*pairs, strict=True), strict=True):
        seconds = [one for one, _ in results]
        print(
            f"{name:13} {statistics.median(seconds):7.2f} s/epoch ({min(seconds):.2f}..{max(seconds):.2f})"
            f"   test accuracy {statistics.mean(accuracy for _, accuracy in results):.4f}"
        )
    ratios = [theirs[0] / mine[0] for mine, theirs in pairs]
    print(f"{'ratio':13} {statistics.median(ratios):7.2f} ({min(ratios):.2f}..{max(ratios):.2f})")


if __name__ == "__main__":
    main()
