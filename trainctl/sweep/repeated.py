"""Compare settings by the runs that repeat them with several seeds, as a sweep does. Imports no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainctl.finished.record import Record, rises
from trainctl.report import phrases
from trainctl.settings.config import leaves
from trainctl.settings.spelling import spell
from trainctl.sweep.statistics import Blocks, compare, half_width

SEEDS = ("seed", "split.seed")
ELSEWHERE = ("output.", "device", "threads", "checkpoint.")  # keys that do not make a run another one


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds only.

    Args:
        name: The settings in which it differs from other groups, or that of its first run.
        runs: The runs, by their seeds.
    """

    name: str
    runs: Mapping[tuple[str, str], Record]


def groups(records: Sequence[Record]) -> list[Group]:
    """Return runs by their settings without the seeds; none unless at least two groups share at least two seeds."""
    found: dict[tuple[tuple[str, str], ...], dict[tuple[str, str], Record]] = {}
    for record in records:
        settings = {key: spell(value) for key, value in leaves(record.config).items()}
        seeds = settings.get(SEEDS[0], ""), settings.get(SEEDS[1], "")
        kept = tuple(
            (key, value) for key, value in settings.items() if key not in SEEDS and not key.startswith(ELSEWHERE)
        )
        found.setdefault(kept, {}).setdefault(seeds, record)
    if len(found) < 2 or any(len(runs) < 2 for runs in found.values()):
        return []
    shared = set.intersection(*(set(runs) for runs in found.values()))
    if len(shared) < 2:
        return []
    values = [dict(kept) for kept in found]
    keys = list(dict.fromkeys(key for each in values for key in each))
    varying = [key for key in keys if len({each.get(key) for each in values}) > 1 and not key.endswith(".name")]
    named = [key for key in keys if len({each.get(key) for each in values}) > 1 and key.endswith(".name")]
    chosen = named or varying
    return [
        Group(" ".join(f"{key.removesuffix('.name')}={each[key]}" for key in chosen if key in each), runs)
        for each, runs in zip(values, found.values(), strict=True)
    ]


def sentences(records: Sequence[Record], metrics: Sequence[str]) -> list[str]:
    """Return for each metric how the groups compare with the best one; nothing if no seeds are repeated."""
    import numpy as np

    found = groups(records)
    if not found:
        return []
    seeds = list(dict.fromkeys(seed for group in found for seed in group.runs))
    blocks = Blocks(_numbered([one for one, _ in seeds]), _numbered([other for _, other in seeds]))
    lines = []
    for metric in metrics:
        values = np.array(
            [[_value(group.runs.get(seed), metric) for seed in seeds] for group in found]
        )  # (groups, seeds)
        compared = compare(values, blocks, maximize=rises(metric, records))
        if compared.best is None or not compared.tested.any():
            continue
        shown = [_shown(group.name, values[row], blocks) for row, group in enumerate(found)]
        for row in range(len(found)):
            if row != compared.best and compared.tested[row]:
                how = "is better than" if compared.worse[row] else "cannot be distinguished from"
                lines.append(f"{metric}: {shown[compared.best]} {how} {shown[row]} (paired by seed).")
    return lines


def _value(record: Record | None, metric: str) -> float:
    return math.nan if record is None else record.metrics.get(metric, math.nan)


def _numbered(names: Sequence[str]) -> tuple[int, ...]:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return tuple(numbers[name] for name in names)


def _shown(name: str, values: Sequence[float], blocks: Blocks) -> str:
    """Return a group with its mean and 95 % interval."""
    finite = [value for value in values if math.isfinite(value)]
    mean = math.fsum(finite) / len(finite) if finite else math.nan
    half = half_width(values, blocks)
    interval = "" if half is None else f", {phrases.number(mean - half)} to {phrases.number(mean + half)}"
    return f"{name} ({phrases.number(mean)}{interval}, {len(finite)} seeds)"
