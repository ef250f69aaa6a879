"""Measure how fast rows are read: from memory, from disk, by torch's DataLoader, and by WebDataset; print it as Markdown.

    python -m benchmarks.rows [--rows 400000] [--columns 40] [--batch 256] [--seconds 5] [--folder DIRECTORY]

Every way reads the same float32 rows in a random order, in batches that are float32 tensors, without training. Each is a
process of its own, in turn, with one thread; the DataLoader has two workers and takes each row from a memory map, WebDataset
has two workers and a shuffle buffer of 10,000 rows. Measured are rows a second once the first batch is there, the time to the
first batch, the time to the batch in the middle of an epoch, as a run that is resumed needs it, and the most memory that the
process had allocated (not what the system keeps of files). A loader without a position reads all batches before the middle.
The second table trains an MLP 784-128-10 on rows in memory and on rows on disk, in turn in one process, with one thread; the
ratio is the median over the rounds. The third is the conversion of a CSV.

Run it on a machine that does nothing else: files are read from the memory of the system unless they are larger than it.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine

WAYS = {
    "memory": "rows in memory (`dataset.keep=memory`)",
    "disk": "rows on disk (`dataset.keep=disk`)",
    "loader": "torch DataLoader, 2 workers, memory map",
    "webdataset": "WebDataset, 2 workers",
}
SEED, WIDE_ROWS = 0, 200_000  # ten windows


def write(folder: Path, rows: int, columns: int) -> None:
    """Write inputs, targets, and the same rows as a tar of samples."""
    generator = np.random.default_rng(SEED)
    inputs = np.lib.format.open_memmap(folder / "inputs.npy", "w+", np.float32, (rows, columns))
    for first in range(0, rows, 100_000):
        inputs[first : first + 100_000] = generator.normal(size=(min(100_000, rows - first), columns))
    inputs.flush()
    np.save(folder / "targets.npy", generator.integers(0, 2, rows))


def write_tar(folder: Path) -> None:
    """Write the rows as WebDataset reads them: a file for each row and each target, in a shard for each worker."""
    import io
    import tarfile

    inputs, targets = np.load(folder / "inputs.npy", mmap_mode="r"), np.load(folder / "targets.npy")
    for number, mine in enumerate(np.array_split(np.arange(len(targets)), 2)):
        with tarfile.open(folder / f"rows-{number}.tar", "w") as shard:
            for row in mine:
                stream = io.BytesIO()
                np.save(stream, inputs[row])
                for ending, content in (("npy", stream.getvalue()), ("cls", b"%d" % targets[row])):
                    member = tarfile.TarInfo(f"{row:09}.{ending}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))


def ours(folder: Path, batch: int, *, disk: bool) -> Callable[[int], Iterator[Any]]:
    """Return a function that yields batches from a step on."""
    import torch

    from trainctl.components.clean.base import Cleaner
    from trainctl.data.choose_order import order_of
    from trainctl.data.rows import ResidentRows, Rows
    from trainctl.data.stored_rows import StoredRows
    from trainctl.fileformat.in_place import array_header, stored_in_place
    from trainctl.fileformat.packed import Source

    targets = torch.from_numpy(np.load(folder / "targets.npy"))
    rows: Rows
    if disk:
        path = folder / "inputs.npy"
        file = array_header(path)
        assert file is not None
        stored = stored_in_place(Source([path], path.name, "benchmark", folder / "cache"), file, "rows")
        rows = StoredRows(stored, torch.arange(len(targets)), targets, Cleaner(), torch.device("cpu"))
    else:
        rows = ResidentRows(torch.from_numpy(np.load(folder / "inputs.npy")), targets)
    return order_of(rows, None, batch, 0, SEED, torch.device("cpu")).batches


def loader(folder: Path, batch: int) -> Callable[[int], Iterator[Any]]:
    """Return a function that yields batches of a DataLoader from a step on, by skipping those before."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Mapped(Dataset[Any]):
        def __init__(self) -> None:
            self.inputs = np.load(folder / "inputs.npy", mmap_mode="r")
            self.targets = np.load(folder / "targets.npy", mmap_mode="r")

        def __len__(self) -> int:
            return len(self.inputs)

        def __getitem__(self, row: int) -> tuple[Any, int]:
            return torch.from_numpy(self.inputs[row].copy()), int(self.targets[row])

    def batches(step: int) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(SEED)
        source = DataLoader(Mapped(), batch, shuffle=True, num_workers=2, generator=generator)
        return itertools.islice(itertools.chain.from_iterable(itertools.repeat(source)), step, None)

    return batches


def webdataset(folder: Path, batch: int) -> Callable[[int], Iterator[Any]]:
    """Return a function that yields batches of WebDataset from a step on, by skipping those before."""
    import webdataset as wds

    def batches(step: int) -> Iterator[Any]:
        shards = [str(folder / f"rows-{number}.tar") for number in range(2)]
        source = wds.WebDataset(shards, shardshuffle=False, workersplitter=wds.split_by_worker)
        source = source.shuffle(10_000).decode().to_tuple("npy", "cls").batched(batch)
        return itertools.islice(iter(wds.WebLoader(source, batch_size=None, num_workers=2)), step, None)

    return batches


def allocated() -> int:
    """Return the most memory of this process that is not a file's [bytes]; 0 where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return 1024 * int(lines["RssAnon"].split()[0])
    except (OSError, KeyError):
        return 0


def measure(way: str, folder: Path, batch: int, seconds: float) -> dict[str, float]:
    """Return what a way takes, in this process."""
    import torch

    torch.set_num_threads(1)
    before = allocated()
    began = time.perf_counter()
    if way in ("memory", "disk"):
        batches = ours(folder, batch, disk=way == "disk")
    else:
        batches = (loader if way == "loader" else webdataset)(folder, batch)
    source = batches(0)
    next(source)
    first, most, rows = time.perf_counter() - began, 0, 0
    began = time.perf_counter()
    for count, (inputs, _) in enumerate(source):
        rows += len(inputs)
        if count % 50 == 0:
            most = max(most, allocated())
            if time.perf_counter() - began > seconds:
                break
    speed = rows / (time.perf_counter() - began)
    del source
    steps = len(np.load(folder / "targets.npy", mmap_mode="r")) // batch
    began = time.perf_counter()
    next(batches(steps // 2))
    return {"speed": speed, "first": first, "middle": time.perf_counter() - began, "memory": max(0, most - before)}


def convert(folder: Path, way: str) -> dict[str, float]:
    """Return the rows a second of a conversion, in this process."""
    from trainctl.components.dataset.csv import csv
    from trainctl.fileformat import csv_arrow
    from trainctl.settings.compose import compose

    if way == "own":
        csv_arrow.arrow = lambda: None
    path = folder / "rows.csv"
    words = [
        "dataset=csv",
        f"dataset.path={path}",
        "dataset.target=y",
        "dataset.keep=disk",
        f"dataset.cache={folder / way}",
    ]
    settings = dict(compose(words).parts["dataset"])
    del settings["name"]
    began = time.perf_counter()
    found = csv(**settings, schema=None)
    seconds = time.perf_counter() - began
    return {"speed": len(found.inputs) / seconds, "bytes": path.stat().st_size / seconds}


def trained(folder: Path, batch: int, rounds: int) -> dict[str, float]:
    """Return the time of a training step [us] with rows in memory and on disk, and the median and range of their ratio."""
    import torch

    from benchmarks.step import stepper, timed
    from trainctl.run import assemble
    from trainctl.settings import compose

    torch.set_num_threads(1)
    files = [f"dataset.path={folder / 'wide.npy'}", f"dataset.targets={folder / 'classes.npy'}"]
    network = ["model=mlp", "model.hidden=[128]", "model.norm=none", "model.dropout=0.0"]
    others = [f"dataset.cache={folder / 'cache'}", f"loop.batch_size={batch}", "device=cpu", "threads=1"]
    take, times = {}, {"memory": list[float](), "disk": list[float]()}
    for keep in times:
        words = ["dataset=arrays", *files, "dataset.task=classification", f"dataset.keep={keep}", *network, *others]
        take[keep], _ = stepper(assemble.assemble(compose.compose(words)))
    for turn in range(rounds):
        for keep in sorted(times, reverse=bool(turn % 2)):
            times[keep].append(timed(take[keep], 1.0))
    ratios = [disk / memory for disk, memory in zip(times["disk"], times["memory"], strict=True)]
    micro = {keep: 1e6 * statistics.median(values) for keep, values in times.items()}
    return micro | {"ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


def write_wide(folder: Path, rows: int) -> None:
    """Write rows of 784 numbers and their classes, several windows of them."""
    generator = np.random.default_rng(SEED)
    inputs = np.lib.format.open_memmap(folder / "wide.npy", "w+", np.float32, (rows, 784))
    for first in range(0, rows, 20_000):
        inputs[first : first + 20_000] = generator.standard_normal((min(20_000, rows - first), 784), np.float32)
    inputs.flush()
    np.save(folder / "classes.npy", generator.integers(0, 10, rows))


def alone(arguments: list[str]) -> dict[str, float] | None:
    """Measure in a process of its own; None if what it needs is not installed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.rows", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure all ways in turn, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--columns", type=int, default=40)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=15, help="of the training steps, of two seconds each")
    parser.add_argument("--way", choices=[*WAYS, "train", "pyarrow", "own"], help=argparse.SUPPRESS)
    typed = parser.parse_args()
    if typed.way in ("pyarrow", "own"):
        print(json.dumps(convert(typed.folder, typed.way)))
        return
    if typed.way == "train":
        print(json.dumps(trained(typed.folder, typed.batch, typed.rounds)))
        return
    if typed.way:
        print(json.dumps(measure(typed.way, typed.folder, typed.batch, typed.seconds)))
        return
    print(f"{machine.processor()}, {machine.cores()} cores, commit {machine.commit()}, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory(dir=typed.folder) as name:
        write(Path(name), typed.rows, typed.columns)
        reading_table(Path(name), typed)
        training_table(Path(name), typed)
        conversion_table(Path(name), typed)


def reading_table(folder: Path, typed: argparse.Namespace) -> None:
    """Print how fast each way reads."""
    print(f"{typed.rows:,} rows of {typed.columns} float32, batches of {typed.batch}\n")
    print("| way | rows/s | first batch [s] | middle of an epoch [s] | memory [MB] |\n|---|---|---|---|---|")
    for way, title in WAYS.items():
        if way == "webdataset":
            write_tar(folder)
        options = ["--folder", str(folder), "--batch", str(typed.batch), "--seconds", str(typed.seconds)]
        found = alone(["--way", way, *options])
        cells = ["not installed", "", "", ""]
        if found:
            cells = [
                f"{found['speed']:,.0f}",
                f"{found['first']:.2f}",
                f"{found['middle']:.2f}",
                f"{found['memory'] / 1e6:.0f}",
            ]
        print(f"| {title} | {' | '.join(cells)} |", flush=True)


def training_table(folder: Path, typed: argparse.Namespace) -> None:
    """Print how long a training step takes with rows in memory and on disk."""
    write_wide(folder, WIDE_ROWS)
    print(f"\n| a step of an MLP 784-128-10, {WIDE_ROWS:,} rows | memory [us] | disk [us] | ratio |\n|---|---|---|---|")
    for batch in (32, 128):
        options = ["--folder", str(folder), "--batch", str(batch), "--rounds", str(typed.rounds)]
        found = alone(["--way", "train", *options])
        assert found
        ratio = f"{found['ratio']:.3f} ({found['least']:.2f}..{found['most']:.2f})"
        print(f"| batches of {batch} | {found['memory']:.0f} | {found['disk']:.0f} | {ratio} |", flush=True)


def conversion_table(folder: Path, typed: argparse.Namespace) -> None:
    """Print how fast a CSV of as many rows is converted; our own reader gets a tenth of them."""
    values, answers = np.load(folder / "inputs.npy", mmap_mode="r"), np.load(folder / "targets.npy")
    heading = ",".join([*(f"c{column}" for column in range(typed.columns)), "y"])
    print(f"\n| conversion of a CSV of {typed.columns + 1} columns | rows | rows/s | MB/s |\n|---|---|---|---|")
    for way, title, rows in (("pyarrow", "by pyarrow", len(values)), ("own", "by our own reader", len(values) // 10)):
        with (folder / "rows.csv").open("w") as file:
            file.write(heading + "\n")
            for first in range(0, rows, 50_000):
                part = slice(first, min(rows, first + 50_000))
                np.savetxt(file, np.column_stack([values[part], answers[part]]), "%.6g", ",")
        found = alone(["--way", way, "--folder", str(folder)])
        assert found
        print(f"| {title} | {rows:,} | {found['speed']:,.0f} | {found['bytes'] / 1e6:.1f} |", flush=True)


if __name__ == "__main__":
    main()
