"""Run trainctl beside its peers, in turn, on the same files, and write what came out as Markdown.

    make bench ARGS='[ROOT] [--workloads cnn,mlp,lstm] [--runs 5] [--epochs N] [--threads N] ...'

ROOT is a directory with `MNIST/raw/` (and `cifar-10-batches-py/`); what is not there is made: see benchmarks/data.py.
Every round runs each entry once, beginning with another one, with a seed of its own. All have the same network, rows,
batch size, optimizer, epochs and threads, and evaluate after each epoch. Run it on a machine that does nothing else.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.peers.common import MOST_ROWS, WORKLOADS, per_epoch
from benchmarks.report import OURS, Measurement, keep_notes, memory_line, scaling, table

HERE = Path(__file__).resolve().parent
BF16 = f"{OURS}_bf16"
BEFORE = f"{OURS}_before"
LABELS = {
    OURS: "trainctl",
    BF16: "trainctl bf16",
    BEFORE: "trainctl before",
    "handwritten": "hand-written loop",
    "lightning": "Lightning",
    "keras_torch": "Keras on torch",
    "keras_jax": "Keras on JAX",
}
MODULES = {
    "handwritten": "handwritten",
    "lightning": "lightning_trainer",
    "keras_torch": "keras_fit",
    "keras_jax": "keras_fit",
}
ENVIRONMENT = {"keras_torch": {"KERAS_BACKEND": "torch"}, "keras_jax": {"KERAS_BACKEND": "jax"}}
PACKAGES = ("torch", "torchvision", "lightning", "keras", "jax", "numpy")
COMMAND_EPOCHS = (1, 5)  # of the runs whose whole command is timed
SCALING = ((1, 1), (2, 1), (4, 1), (2, 2))  # epochs, and by what the rows are divided
SCALING_RUNS = 3
START_SECONDS = 6.0  # of a command, without training; for the estimate

Options = argparse.Namespace


def execute(
    command: Sequence[str], more: Mapping[str, str], threads: int | None, tree: Path = HERE.parent
) -> tuple[str, float, int]:
    """Run a command in a tree of files, this one or an earlier one; return its output, wall time [s] and largest resident set [bytes].

    On Linux that begins with the set of the process that starts it: so this module imports neither numpy nor torch.

    Raises:
        SystemExit: If it fails.
    """
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"} | more
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment, cwd=tree)
        _, status, usage = os.wait4(process.pid, 0)  # of this child alone; getrusage knows the largest of all
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{shlex.join(command)}\n{errors.read()[-4000:]}\nended with {process.returncode}")
        return output.read(), wall, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(entry: str, name: str, root: Path, epochs: int, turn: int, given: Options) -> Measurement:
    """Run one entry once."""
    if entry in (OURS, BF16, BEFORE):
        return ours(entry, name, root, epochs, turn, given)
    command = [sys.executable, "-m", f"benchmarks.peers.{MODULES[entry]}", name, str(root)]
    command += [f"--epochs={epochs}", f"--seed={turn}", *([f"--threads={given.threads}"] if given.threads else [])]
    output, wall, memory = execute(command, ENVIRONMENT.get(entry, {}), given.threads)
    found = json.loads(next(line for line in reversed(output.splitlines()) if line.startswith('{"first_epoch')))
    return Measurement(turn, epochs, wall=wall, memory=memory, **found)


def ours(entry: str, name: str, root: Path, epochs: int, turn: int, given: Options) -> Measurement:
    """Run trainctl once, as its users do: with checkpoints, plots and the run's directory."""
    workload, tree = WORKLOADS[name], given.earlier if entry == BEFORE else HERE.parent
    precision, found_at = "bf16" if entry == BF16 else "fp32", {"PYTHONPATH": str(tree)}
    with tempfile.TemporaryDirectory() as runs:
        settings = [f"dataset.root={root}", "dataset.download=false", f"loop.epochs={epochs}", f"seed={turn}"]
        settings += [f"precision={precision}", f"output.root={runs}"]
        settings += [f"threads={given.threads}"] if given.threads else []
        command = [sys.executable, "-m", "trainctl", *workload.overrides, *settings]
        _, wall, memory = execute(command, found_at, given.threads, tree)
        summary = json.loads(next(Path(runs).glob("*/summary.json")).read_text())
        rows = map(json.loads, next(Path(runs).glob("*/metrics.jsonl")).read_text().splitlines())
    score = summary["metrics"]["test/accuracy" if workload.score == "accuracy" else "test/loss"]
    times = per_epoch([0.0, *(row["seconds"] for row in rows if "val/loss" in row)])
    return Measurement(turn, epochs, wall=wall, memory=memory, score=score, parameters=summary["parameters"], **times)


def check_parameters(name: str, entry: str, found: Measurement) -> None:
    """Make sure that everybody trains the same network.

    Raises:
        SystemExit: If not.
    """
    workload = WORKLOADS[name]
    expected = workload.parameters
    if entry.startswith("keras") and workload.keras_parameters is not None:
        expected = workload.keras_parameters
    if found.parameters != expected:
        sys.exit(f"{name}: {LABELS[entry]} has {found.parameters:,} parameters instead of {expected:,}")


def plan(name: str, turn: int, given: Options) -> list[int]:
    """Return the numbers of epochs that a round runs: the one for seconds per epoch, and those of whole commands.

    >>> plan("mlp", 0, Options(epochs=None, command_runs=1)), plan("mlp", 1, Options(epochs=None, command_runs=1))
    ([1, 3, 5], [3])
    """
    return sorted({given.epochs or WORKLOADS[name].epochs, *(COMMAND_EPOCHS if turn < given.command_runs else ())})


def entries(name: str, given: Options) -> list[str]:
    """Return who takes part in a workload."""
    more = [BF16] if given.precision == "bf16" and name == "cnn" else []
    return [OURS, *more, *([BEFORE] if given.before else []), *given.peers]


def compete(name: str, root: Path, given: Options) -> dict[str, list[Measurement]]:
    """Run all rounds of a workload."""
    taking_part = entries(name, given)
    results: dict[str, list[Measurement]] = {entry: [] for entry in taking_part}
    for turn in range(given.runs):
        first = turn % len(taking_part)
        for epochs in plan(name, turn, given):
            for entry in taking_part[first:] + taking_part[:first]:
                found = measure(entry, name, root, epochs, turn, given)
                check_parameters(name, entry, found)
                results[entry].append(found)
                say(
                    f"{name} round {turn + 1}/{given.runs}: {LABELS[entry]:17} {epochs} epochs, "
                    f"{found.seconds_per_epoch:8.2f} s/epoch, command {found.wall:7.1f} s, "
                    f"{found.memory / 1e6:6,.0f} MB, {WORKLOADS[name].score} {found.score:.4f}"
                )
    return results


def grow(name: str, root: Path, half: Path, rows: int, given: Options) -> str:
    """Return a table of how trainctl's training time grows with epochs and rows."""
    seconds: dict[tuple[int, int], list[float]] = {}
    for turn in range(min(given.runs, SCALING_RUNS)):
        for epochs, part in SCALING:
            found = ours(OURS, name, half if part == 2 else root, epochs, turn, given)
            seconds.setdefault((epochs, rows // part), []).append(found.training)
            say(f"{name} growth {turn + 1}: {epochs} epochs of 1/{part} rows, {found.training:.2f} s")
    return scaling(seconds)


def say(text: str) -> None:
    """Print progress at once."""
    print(text, flush=True)


def estimate(given: Options) -> float:
    """Return roughly how long everything takes on two cores [s]."""
    total = 0.0
    for name in given.workloads:
        workload, taking_part = WORKLOADS[name], len(entries(name, given))
        share = min(given.rows, most := MOST_ROWS[workload.data]) / most * taking_part / 5
        for turn in range(given.runs):
            counts = plan(name, turn, given)
            total += sum(counts) * workload.guess * share + len(counts) * taking_part * START_SECONDS
    return total


def header(given: Options, made: Mapping[str, Any]) -> str:
    """Return what was measured, where and how."""
    typed = ["ROOT" if given.root and Path(word).resolve() == given.root else word for word in sys.argv[1:]]
    arguments = f" ARGS='{' '.join(typed)}'" if typed else ""
    kinds = {
        "mnist": ("MNIST", "a stand-in for MNIST (scikit-learn's digits, enlarged and shifted)"),
        "cifar": ("CIFAR-10", "a stand-in for CIFAR-10 (faint patterns in noise)"),
    }
    used = sorted({WORKLOADS[name].data for name in given.workloads}, reverse=True)
    data = "; ".join(
        f"{kinds[kind][0 if made[kind]['real'] else 1]}, {made[kind]['rows']:,} + {made[kind]['test_rows']:,} rows"
        for kind in used
    )
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    return "\n".join([
        f"# trainctl beside its peers, {time.strftime('%B %Y')}",
        "",
        f"- Command: `make bench{arguments}`, commit {machine.commit()}",
        f"- Machine: {machine.processor()}, {machine.cores()} of {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        f"- Versions: Python {platform.python_version()}, {versions}",
        f"- Threads: {given.threads or 'as many as each chooses'}; GPUs hidden",
        f"- Data: {data}; 15 % of the training rows for validation",
        (
            f"- {given.runs} rounds, each with a seed of its own; median (smallest..largest). A ratio is theirs / ours"
            " within a round. Whole commands include the start of the process; they were timed in"
            f" {min(given.runs, given.command_runs)} of the rounds. Memory is the largest resident set. Accuracy is the"
            " mean over the rounds with its standard error; **differs**: from trainctl's by more than noise, so that the"
            " speed does not count."
        ),
        (
            "- Seconds per epoch are those of training and validation, the mean of a run's later epochs if there are any; the"
            " first, which compiles and records, has its own column. trainctl ran as its users run it, with checkpoints and plots,"
            " and tests its best weights; Lightning ran without checkpoints and logs."
        ),
        "",
    ])  # fmt: skip


def listed(known: Sequence[str]) -> Any:
    """Return argparse's type of a list of names with commas."""

    def read(text: str) -> list[str]:
        names = [*known] if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return names

    return read


def options(words: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, nargs="?", metavar="ROOT")
    parser.add_argument(
        "--workloads",
        type=listed([*WORKLOADS]),
        default=["cnn", "mlp"],
        help=f"all, or some of {', '.join(WORKLOADS)} (cnn,mlp)",
    )
    parser.add_argument(
        "--peers", type=listed([*MODULES]), default=[*MODULES], help="none (''), or some of " + ", ".join(MODULES)
    )
    parser.add_argument("--runs", type=int, default=5, help="rounds (5)")
    parser.add_argument("--epochs", type=int, help="of the runs for seconds per epoch (2, or 3 for fast workloads)")
    parser.add_argument(
        "--command-runs", type=int, default=1, help="rounds that time whole commands of 1 and 5 epochs (1)"
    )
    parser.add_argument(
        "--rows", type=int, default=MOST_ROWS["mnist"], help="training rows, validation among them (60,000)"
    )
    parser.add_argument("--threads", type=int, help="of everybody, on as many processors (left to each)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16: also trainctl so, on cnn")
    parser.add_argument("--before", metavar="COMMIT", help="also trainctl as it was at a commit")
    parser.add_argument("--no-growth", action="store_true", help="leave out how time grows with epochs and rows")
    parser.add_argument("--output", type=Path, help="the Markdown file (benchmarks/speed_<hardware>_<YYYYMM>.md)")
    given = parser.parse_args(words)
    if given.root and not (given.root / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        parser.error(f"{given.root}: has no MNIST/raw/train-images-idx3-ubyte")
    given.root = given.root.resolve() if given.root else None
    if min(given.runs, given.epochs or 1, given.threads or 1) < 1 or given.rows < 1000:
        parser.error("--runs, --epochs and --threads are at least 1, --rows at least 1000")
    return given


def file_name() -> Path:
    """Return where the report goes: what, hardware, month."""
    hardware = re.sub(r"[^a-z0-9]+", "-", f"{machine.processor()} {machine.cores()} cores".lower()).strip("-")
    return HERE / f"speed_{hardware}_{time.strftime('%Y%m')}.md"


def write_data(target: Path, given: Options, rows: int) -> dict[str, Any]:
    """Write the files that everybody reads, in a process of their own."""
    words = [f"--rows={rows}", *([f"--source={given.root}"] if given.root else [])]
    output, _, _ = execute([sys.executable, "-m", "benchmarks.data", str(target), *words], {}, None)
    made: dict[str, Any] = json.loads(output)
    return made


def check_out(commit: str, target: Path) -> None:
    """Write the tree of a commit.

    Raises:
        SystemExit: If there is no such commit.
    """
    target.mkdir()
    archive = subprocess.run(["git", "archive", commit], check=False, capture_output=True, cwd=HERE.parent)
    if archive.returncode:
        sys.exit(f"--before {commit}: {archive.stderr.decode(errors='replace').strip()}")
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive.stdout, check=True)


def main() -> None:
    """Measure, print and write."""
    given = options()
    if given.threads and hasattr(os, "sched_setaffinity"):  # JAX takes as many threads as there are processors
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    output = given.output or file_name()
    say(f"about {estimate(given) / 60:.0f} minutes on two idle cores, and some for growth; report: {output.name}")
    with tempfile.TemporaryDirectory() as folder:
        root, half = Path(folder, "all"), Path(folder, "half")
        if given.before:
            given.earlier = Path(folder, "before")
            check_out(given.before, given.earlier)
        made = write_data(root, given, given.rows)
        parts = [header(given, made)]
        for name in given.workloads:
            workload = WORKLOADS[name]
            results = compete(name, root, given)
            shown = table(results, LABELS, workload, given.epochs or workload.epochs)
            remark = "Keras' LSTM has one vector of biases in each gate where PyTorch's has two that are added up."
            shown += f"\n\n{memory_line(results, made[workload.data]['bytes'])}"
            shown += f"\n\n{remark}" if workload.keras_parameters else ""
            say(f"\n{workload.title}\n\n{shown}\n")
            parts.append(f"## {workload.title}\n\n{shown}\n")
            write(output, parts)
        if not given.no_growth:
            name = given.workloads[0]
            write_data(half, given, made["mnist"]["rows"] // 2)
            rows = made[WORKLOADS[name].data]["rows"]
            shown = grow(name, root, half, rows, given)
            say(f"\n{shown}\n")
            parts.append(f"## How trainctl's time grows: {WORKLOADS[name].title}\n\n{shown}\n")
            write(output, parts)
    say(f"written: {output}")


def write(output: Path, parts: Sequence[str]) -> None:
    """Write what there is so far; notes that somebody wrote below an older report are kept."""
    before = output.read_text() if output.exists() else ""
    output.write_text(keep_notes(before, "\n".join(parts)))


if __name__ == "__main__":
    main()
