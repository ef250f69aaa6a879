"""Let our scheduler run over recorded learning curves, in a virtual time in which an epoch takes one unit."""

import heapq
import json
import random
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainctl.settings import sweep as settings
from trainctl.store import runpath
from trainctl.sweep.ledger import Ledger, key_of
from trainctl.sweep.policy import Policy, Task
from trainctl.sweep.trial import Trial

Curves = Mapping[str, Sequence[float]]  # for each point, the loss after each epoch


@dataclass(frozen=True)
class Outcome:
    """What a simulated sweep has cost and found.

    Args:
        epochs: The epochs that were trained, of all trials together.
        best: The best point that was trained in full.
        finished: How many points were trained in full.
    """

    epochs: int
    best: str
    finished: int


def recorded(home: Path, monitor: str) -> list[Curves]:
    """Return the curves of a sweep's trials, one mapping for each seed."""
    seeds: dict[str, dict[str, list[float]]] = {}
    for path in sorted(home.glob("*/metrics.jsonl")):
        point, _, seed = path.parent.name.partition(",seed=")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        seeds.setdefault(seed, {})[point] = [float(row[monitor]) for row in rows if monitor in row]
    return [curves for _, curves in sorted(seeds.items())]


def simulate(curves: Curves, order: Sequence[str], words: Sequence[str], workers: int) -> Outcome:
    """Run a sweep over recorded curves.

    Args:
        curves: The loss of each point after each epoch; all of the same length.
        order: The points in the order in which they are begun.
        words: Settings of the sweep, such as ``sweep.prune=asha``.
        workers: How many trials run at the same time.
    """
    policy = Policy(settings.load(words), maximize=False)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(runpath.hold(Path(folder)), 60.0, 4)
    ledger.replicates = [()]
    for number, name in enumerate(order):
        ledger.trials[key_of(number, ())] = Trial(number, (name,), (), Path(name))
    now, spent, running = 0, 0, list[tuple[int, str, bool]]()  # the epoch at which a trial is looked at next
    while True:
        while len(running) < workers and (task := _next(policy, ledger, busy=bool(running))):
            trial = ledger.trials[task.key]
            trial.status = "running"
            heapq.heappush(
                running, (now + _stop(policy, trial, task, curves) - round(trial.epoch), task.key, task.full)
            )
        if not running:
            break
        now, key, full = heapq.heappop(running)
        trial = ledger.trials[key]
        reached = _stop(policy, trial, Task(key, full), curves)
        spent += reached - round(trial.epoch)
        trial.epoch, trial.value = reached, min(curves[trial.words[0]][:reached])
        if reached == len(curves[trial.words[0]]):
            trial.status = "finished"
            continue
        trial.rungs[reached] = trial.value
        if policy.at_rung(ledger, key, reached) == "continue":
            heapq.heappush(running, (now + _stop(policy, trial, Task(key, full), curves) - reached, key, full))
        else:
            trial.status = "paused" if policy.settings.prune == "asha" else "pruned"
    finished = [trial for trial in ledger.trials.values() if trial.status == "finished"]
    return Outcome(spent, min(finished, key=lambda trial: trial.value or 0.0).words[0], len(finished))


def _next(policy: Policy, ledger: Ledger, *, busy: bool) -> Task | None:
    return policy.next_task(ledger) or (None if busy else policy.last_task(ledger))


def _stop(policy: Policy, trial: Trial, task: Task, curves: Curves) -> int:
    """Return the epoch at which a trial is looked at next: its next rung, or its end."""
    total = len(curves[trial.words[0]])
    return next((rung for rung in policy.rungs(task.full) if trial.epoch < rung < total), total)


def first_epochs(curves: Curves, epochs: int, top: int) -> Outcome:
    """Return what it costs to train all points for some epochs, and then the best of them in full."""
    total = len(next(iter(curves.values())))
    best = sorted(curves, key=lambda name: min(curves[name][:epochs]))[:top]
    spent = len(curves) * epochs + top * (total - epochs)
    return Outcome(spent, min(best, key=lambda name: min(curves[name])), top)


def table(title: str, seeds: Sequence[Curves], orders: int, workers: int) -> str:
    """Return a table of methods against the grid, over random orders of the points."""
    source = random.Random(0)
    methods = {
        "asha, rungs 3 and 9": ["sweep.prune=asha", "sweep.rungs=[3,9]"],
        "asha, rungs 1, 3 and 9": ["sweep.prune=asha", "sweep.rungs=[1,3,9]"],
        "median, rungs 3 and 9": ["sweep.prune=median", "sweep.rungs=[3,9]"],
    }
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in (*methods, "all for 3 epochs, then the top 3")}
    for curves in seeds:
        names = list(curves)
        grid = sum(map(len, curves.values()))
        winner = min(names, key=lambda name: min(curves[name]))
        outcome = first_epochs(curves, 3, 3)
        found["all for 3 epochs, then the top 3"].append((grid / outcome.epochs, outcome.best == winner))
        for _ in range(orders):
            order = source.sample(names, len(names))
            for name, words in methods.items():
                outcome = simulate(curves, order, words, workers)
                found[name].append((grid / outcome.epochs, outcome.best == winner))
    lines = [f"### {title}", "", "| | times fewer epochs than the grid | the grid's winner found |", "|---|---|---|"]
    for name, results in found.items():
        ratios = [ratio for ratio, _ in results]
        share = statistics.mean(hit for _, hit in results)
        lines.append(
            f"| {name} | {statistics.median(ratios):.1f} ({min(ratios):.1f}..{max(ratios):.1f}) | {share:.2f} |"
        )
    return "\n".join(lines)
