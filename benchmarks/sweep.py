"""Time sweeps beside Hydra with Lightning and Optuna, and simulate pruning on recorded curves; print it as Markdown.

    python -m benchmarks.sweep [--parts race,overhead,asha] [--rounds 5] [--output benchmarks/sweep_<hardware>_<month>.md]

race      24 trials on scikit-learn's digits (a perceptron, 10 epochs), in turn: trainctl, with one worker, Hydra's basic
          and joblib launchers over a Lightning script, Optuna over a hand-written loop. A peer that is not installed is
          left out, with a line that says so: pip install lightning hydra-joblib-launcher optuna.
overhead  the CPU time of a trial of one step, beside what a hand-written loop takes for the same
asha      48 points with three seeds, recorded in full, then our scheduler on their curves in random orders

Run it on a machine that does nothing else.
"""

import argparse
import ctypes
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks import asha
from benchmarks.machine import commit, cores, processor
from benchmarks.report import spread
from benchmarks.run import say

HERE = Path(__file__).resolve().parent
RATES = ("0.0003", "0.0005", "0.001", "0.002", "0.003", "0.005", "0.01", "0.02")
WIDTHS = ("32", "64", "128")
OURS = "trainctl"
PEERS = {
    "Hydra's basic launcher, Lightning": ("lightning",),
    "Hydra's joblib launcher, Lightning": ("lightning", "hydra_plugins.hydra_joblib_launcher"),
    "Optuna, hand-written loop": ("optuna",),
}
SUBREAPER = 36  # of prctl(2): orphans of this process's children become its own
MANY, FEW = 60, 20  # trials of one step; what their difference costs is free of the start
ALONE = 100


def execute(words: Sequence[str], directory: Path) -> tuple[float, float]:
    """Run `python -m ...` in a directory; return its wall and CPU time, with those of all its processes [s].

    Raises:
        SystemExit: If it fails.
    """
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)  # workers outlive the process that forked them; count them, too
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    with suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}\nended with {done.returncode}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(directory: Path, rates: Sequence[str], widths: Sequence[str], *words: str) -> tuple[float, float]:
    """Run a sweep of ours."""
    network = ["dataset=digits", "model=mlp", "model.norm=none", "model.dropout=0", "loop.batch_size=32"]
    axes = [f"optimizer.lr={','.join(rates)}", f"model.hidden={','.join(f'[{width}]' for width in widths)}"]
    return execute(["trainctl", "-m", *network, *axes, "sweep.threads=1", "sweep.name=s", *words], directory)


def competitors(epochs: int, rates: Sequence[str]) -> dict[str, Callable[[Path], tuple[float, float]]]:
    """Return what each entry runs in an empty directory."""
    jobs = cores()
    hydra = [f"lr={','.join(rates)}", f"hidden={','.join(WIDTHS)}", f"epochs={epochs}", "hydra.sweep.dir=out"]
    script = ["benchmarks.peers.sweep_lightning", "-m", *hydra]
    joblib = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}"]
    optuna = ["benchmarks.peers.sweep_optuna", "out", "--lr", ",".join(rates), "--hidden", ",".join(WIDTHS)]
    optuna += ["--epochs", str(epochs), "--jobs", str(jobs)]
    basic, parallel, loop = PEERS
    return {
        OURS: lambda place: ours(place, rates, WIDTHS, f"loop.epochs={epochs}", f"sweep.workers={jobs}"),
        f"{OURS}, one worker": lambda place: ours(place, rates, WIDTHS, f"loop.epochs={epochs}", "sweep.workers=1"),
        basic: lambda place: execute(script, place),
        parallel: lambda place: execute([*script, *joblib], place),
        loop: lambda place: execute(optuna, place),
    }


def is_installed(name: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def best_accuracy(place: Path) -> float:
    """Return the validation accuracy of the trial with the least loss: everybody must learn the same."""
    if (place / "runs").exists():
        results = [json.loads(path.read_text())["metrics"] for path in place.glob("runs/s/*/summary.json")]
    else:
        results = [json.loads(path.read_text()) for path in place.glob("out/*/result.json")]
    return float(min(results, key=lambda each: each["val/loss"])["val/accuracy"])


def race(rounds: int, epochs: int, rates: Sequence[str]) -> str:
    """Run every entry once a round, beginning with another one each time; return the table."""
    entries = competitors(epochs, rates)
    missing = {name: [each for each in needs if not is_installed(each)] for name, needs in PEERS.items()}
    for name, modules in missing.items():
        if modules:
            say(f"left out: {name}: {', '.join(modules)} not installed")
            del entries[name]
    walls: dict[str, list[float]] = {name: [] for name in entries}
    scores: dict[str, list[float]] = {name: [] for name in entries}
    for turn in range(rounds):
        names = list(entries)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            with tempfile.TemporaryDirectory() as folder:
                wall, cpu = entries[name](Path(folder))
                scores[name].append(best_accuracy(Path(folder)))
            walls[name].append(wall)
            say(
                f"round {turn + 1}/{rounds}: {name:36} {wall:7.1f} s, CPU {cpu:7.1f} s, accuracy {scores[name][-1]:.3f}"
            )
    lines = [f"## {len(rates) * len(WIDTHS)} trials, {epochs} epochs", ""]
    lines += ["| | whole command [s] | times trainctl's | accuracy of the best [%] |", "|---|---|---|---|"]
    for name, times in walls.items():
        ratios = [other / mine for other, mine in zip(times, walls[OURS], strict=True)]
        accuracy = 100 * statistics.mean(scores[name])
        lines.append(f"| {name} | {spread(times, 1)} | {spread(ratios, 1) if name != OURS else ''} | {accuracy:.1f} |")
    lines += ["", *(f"Left out, as not installed: {name}." for name, modules in missing.items() if modules)]
    return "\n".join(lines)


def overhead(rounds: int) -> str:
    """Return what a trial of one step costs: the difference of two sweeps, beside a hand-written loop's."""
    trial, alone = [], []
    for turn in range(rounds):
        cpu = {}
        for count in (MANY, FEW):
            rates = [f"{1e-3 + 1e-5 * number:.5f}" for number in range(count)]
            with tempfile.TemporaryDirectory() as folder:
                _, cpu[count] = ours(
                    Path(folder), rates, ["64"], "loop.max_steps=1", "sweep.workers=1", "output.plots=false"
                )
        trial.append(1000 * (cpu[MANY] - cpu[FEW]) / (MANY - FEW))
        words = ["benchmarks.peers.sweep_optuna", "out", "--lr=1e-3", "--hidden=64", "--epochs=1", "--steps=1"]
        with tempfile.TemporaryDirectory() as folder:
            _, many = execute([*words, f"--alone={ALONE}"], Path(folder))
            _, none = execute([*words, "--alone=0"], Path(folder))
        alone.append(1000 * (many - none) / ALONE)
        say(f"overhead {turn + 1}/{rounds}: {trial[-1]:.1f} ms a trial, of it training {alone[-1]:.1f} ms")
    own = [one - other for one, other in zip(trial, alone, strict=True)]
    return "\n".join([
        "## A trial of one step, CPU time", "",
        "| a trial [ms] | its training in a hand-written loop [ms] | overhead [ms] |", "|---|---|---|",
        f"| {spread(trial, 1)} | {spread(alone, 1)} | {spread(own, 1)} |",
    ])  # fmt: skip


def pruning(points: int, seeds: int, epochs: int, orders: int) -> str:
    """Record curves with constant rates and with cosine decay; return a table for each."""
    rates = [f"{rate:g}" for rate in (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)]
    axes = ["optimizer=adam,sgd", f"optimizer.lr={','.join(rates)}", "model.hidden=[32],[64],[128]"]
    axes = axes if points == 48 else ["optimizer=adam", f"optimizer.lr={','.join(rates[:points])}", "model.hidden=[32]"]
    tables = []
    for schedule in ("none", "cosine"):
        with tempfile.TemporaryDirectory() as folder:
            words = [
                "dataset=digits",
                "model=mlp",
                "loop.batch_size=32",
                f"loop.epochs={epochs}",
                f"schedule={schedule}",
            ]
            words += [
                f"sweep.seeds={seeds}",
                "sweep.threads=1",
                "sweep.keep=none",
                "sweep.name=s",
                "output.plots=false",
            ]
            wall, _ = execute(["trainctl", "-m", *axes, *words], Path(folder))
            curves = asha.recorded(Path(folder, "runs", "s"), "val/loss")
        assert [len(each) for each in curves] == [points] * seeds
        say(f"recorded {points} points with schedule={schedule}, {seeds} seeds, in {wall:.0f} s")
        title = f"schedule={schedule}: {points} points of {epochs} epochs, {seeds} seeds, {orders} orders of each"
        tables.append(asha.table(title, curves, orders, workers=2))
    return "\n\n".join(["## Pruning, simulated on recorded curves with our scheduler", *tables])


def header(parts: Sequence[str]) -> str:
    """Return what was measured, where and how."""
    packages = [
        name for name in ("torch", "lightning", "hydra-core", "hydra-joblib-launcher", "optuna") if _version(name)
    ]
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    return "\n".join([
        f"# Sweeps beside their peers, {time.strftime('%B %Y')}", "",
        f"- Command: `{' '.join(['python -m benchmarks.sweep', *sys.argv[1:]])}`",
        f"- Commit {commit()}; parts: {', '.join(parts)}",
        f"- Machine: {processor()}, {cores()} of {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        f"- Versions: Python {platform.python_version()}, {versions}",
        ("- One thread for each trial; GPUs hidden. Whole commands include the start of Python. Median (smallest..largest);"
         " a ratio is taken within a round. trainctl ran as its users run it, with checkpoints, its table and plots of the"
         " sweep; Lightning and Optuna wrote one small file for each trial."),
    ])  # fmt: skip


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ("race", "overhead", "asha")
    parser.add_argument("--parts", default=",".join(known), help=f"some of {','.join(known)}")
    parser.add_argument("--rounds", type=int, default=5, help="of race and overhead (5)")
    parser.add_argument("--small", action="store_true", help="a few trials and epochs, to try this script")
    parser.add_argument("--output", type=Path, help="also write the report to this file")
    given = parser.parse_args()
    chosen = [part for part in given.parts.split(",") if part]
    if unknown := [part for part in chosen if part not in known]:
        parser.error(f"--parts={','.join(unknown)}: not among {', '.join(known)}")
    parts = [header(chosen)]
    if "race" in chosen:
        parts.append(race(given.rounds, 2 if given.small else 10, RATES[:2] if given.small else RATES))
    if "overhead" in chosen:
        parts.append(overhead(given.rounds))
    if "asha" in chosen:
        parts.append(pruning(6, 1, 12, 5) if given.small else pruning(48, 3, 27, 30))
    text = "\n\n".join(parts) + "\n"
    print(f"\n{text}")
    if given.output:
        given.output.write_text(text)


if __name__ == "__main__":
    main()
