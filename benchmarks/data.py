"""Write the files that everybody reads: a part of real ones, or a stand-in, in MNIST's and CIFAR-10's formats.

    python -m benchmarks.data TARGET [--source DIRECTORY] [--rows 60000]

The stand-in for MNIST is scikit-learn's digits, enlarged to 28 x 28 pixels and shifted by up to two; test images are
made from other digits than training images. The one for CIFAR-10 is ten faint patterns in noise, which can be learned.
Prints, as JSON, what was written.
"""

import argparse
import json
import pickle
import shutil
from pathlib import Path

import numpy as np

from benchmarks.peers.common import CIFAR, MOST_ROWS, read

TEST_SHARE = 6  # training rows for each test row, as MNIST has them


def has(source: Path | None, data: str) -> bool:
    """Say whether a directory holds real files."""
    first = (
        Path("cifar-10-batches-py", "test_batch")
        if data == "cifar"
        else Path("MNIST", "raw", "train-images-idx3-ubyte")
    )
    return source is not None and (source / first).is_file()


def digits(rows: int, tests: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training and test images ``(N, 28, 28)`` and labels, made of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    generator, source = np.random.default_rng(0), load_digits()
    enlarged = np.pad(np.kron(source.images * (255 / 16), np.ones((1, 3, 3))), ((0, 0), (4, 4), (4, 4))).astype(
        np.uint8
    )
    order = generator.permutation(len(enlarged))
    windows = np.lib.stride_tricks.sliding_window_view(enlarged, (28, 28), axis=(1, 2))

    def drawn(count: int, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = generator.choice(among, count)
        down, right = generator.integers(0, 5, (2, count))
        return windows[chosen, down, right], source.target[chosen].astype(np.uint8)

    return *drawn(rows, order[300:]), *drawn(tests, order[:300])


def patterns(rows: int, tests: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training and test images ``(N, 32, 32, 3)`` and labels: a pattern of 4 x 4 blocks for each class, in noise."""
    generator = np.random.default_rng(0)
    blocks = np.kron(generator.standard_normal((10, 4, 4, 3)), np.ones((1, 8, 8, 1)))
    labels = generator.permutation(np.arange(rows + tests) % 10).astype(np.uint8)
    images = generator.standard_normal((rows + tests, 32, 32, 3), dtype=np.float32) * 60 + 128
    images += 10 * blocks[labels].astype(np.float32)
    pixels = images.clip(0, 255).astype(np.uint8)
    return pixels[:rows], labels[:rows], pixels[rows:], labels[rows:]


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write bytes in MNIST's format."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes())


def write_mnist(root: Path, train: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray) -> None:
    """Write MNIST's four files."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, images, classes in (("train", train, labels), ("t10k", test, test_labels)):
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", classes)


def write_cifar(root: Path, train: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray) -> None:
    """Write CIFAR-10's six batches."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    parts = [
        *zip(np.array_split(train, len(CIFAR)), np.array_split(labels, len(CIFAR)), strict=True),
        (test, test_labels),
    ]
    for name, (images, classes) in zip((*CIFAR, "test_batch"), parts, strict=True):
        batch = {"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1), "labels": classes.tolist()}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


MAKERS = {"mnist": (digits, write_mnist), "cifar": (patterns, write_cifar)}


def make(target: Path, data: str, source: Path | None, rows: int) -> dict[str, object]:
    """Write one data set, and return what it is."""
    stand_in, write = MAKERS[data]
    if real := source is not None and has(source, data):
        images, labels, test, test_labels = read(source, data)
    else:
        images, labels, test, test_labels = stand_in(rows, max(1, rows // TEST_SHARE))
    tests = max(1, rows // TEST_SHARE)
    images, labels, test, test_labels = images[:rows], labels[:rows], test[:tests], test_labels[:tests]
    write(target, images, labels, test, test_labels)
    return {"real": real, "rows": len(images), "test_rows": len(test), "bytes": images.nbytes + test.nbytes}


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--rows", type=int, default=60_000)
    given = parser.parse_args()
    if given.target.exists():
        shutil.rmtree(given.target)
    made = {data: make(given.target, data, given.source, min(given.rows, most)) for data, most in MOST_ROWS.items()}
    print(json.dumps(made))


if __name__ == "__main__":
    main()
