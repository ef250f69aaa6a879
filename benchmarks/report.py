"""From measurements to a table: medians with ranges, ratios pair by pair, accuracies that differ. Pure functions."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers.common import Workload

OURS = "trainctl"
TOLERANCE = {"accuracy": 0.003, "mse": 0.03}  # absolute; a share of ours
NOTES = "## Notes"


@dataclass(frozen=True)
class Measurement:
    """One command, from its start to its end.

    Args:
        round: In which round it ran: those of one round are compared.
        epochs: How many it trained.
        first_epoch: Training and validation, with compiling and recording [s].
        seconds_per_epoch: The same for the mean of the later epochs, or the first if there is no other.
        wall: Whole command [s].
        memory: Its largest resident set [bytes].
        score: Test accuracy, or mean squared error.
        parameters: Of the network.
    """

    round: int
    epochs: int
    first_epoch: float
    seconds_per_epoch: float
    wall: float
    memory: int
    score: float
    parameters: int

    @property
    def training(self) -> float:
        """Return the time of all epochs [s]."""
        return self.first_epoch + (self.epochs - 1) * self.seconds_per_epoch


Results = Mapping[str, Sequence[Measurement]]  # by entry: trainctl and its peers


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return median and range.

    >>> spread([1.0, 3.0, 2.0])
    '2.00 (1.00..3.00)'
    >>> spread([])
    ''
    """
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def ratios(theirs: Sequence[Measurement], ours: Sequence[Measurement], epochs: int) -> list[float]:
    """Return their seconds per epoch divided by ours, one for each round that has both."""
    mine = {one.round: one.seconds_per_epoch for one in ours if one.epochs == epochs}
    return [one.seconds_per_epoch / mine[one.round] for one in theirs if one.epochs == epochs and one.round in mine]


def differ(theirs: Sequence[float], ours: Sequence[float], score: str) -> bool:
    """Say whether two sets of scores, one of each seed, differ by more than noise.

    That is by more than two standard errors of the difference of their means, and by more than 0.3 points of accuracy
    or 3 % of the squared error. One seed does not show noise: then it is not said.
    """
    if min(len(theirs), len(ours)) < 2:
        return False
    distance = abs(statistics.mean(theirs) - statistics.mean(ours))
    error = math.sqrt(sum(statistics.variance(one) / len(one) for one in (theirs, ours)))
    allowed = TOLERANCE[score] * (abs(statistics.mean(ours)) if score == "mse" else 1)
    return distance > 2 * error and distance > allowed


def table(results: Results, labels: Mapping[str, str], workload: Workload, epochs: int) -> str:
    """Return a workload's table, in Markdown.

    Args:
        results: Measurements by entry.
        labels: Entries' names.
        workload: What was trained.
        epochs: Of the runs that count for seconds per epoch, ratio and score.
    """
    against = [entry for entry in results if entry.startswith(OURS)]
    score = "test accuracy [%]" if workload.score == "accuracy" else "test MSE"
    heads = ["", f"s/epoch, of {epochs} epoch{'s' * (epochs > 1)}"]
    heads += [f"times {labels[entry]}'s" for entry in against]
    heads += [
        "first epoch [s]",
        "command, 1 epoch [s]",
        "command, 5 epochs [s]",
        "peak memory [MB]",
        score,
        "parameters",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for entry, found in results.items():
        runs = [one for one in found if one.epochs == epochs]
        if not runs:
            continue
        cells = [labels[entry], spread([one.seconds_per_epoch for one in runs])]
        cells += ["" if entry == other else spread(ratios(found, results[other], epochs)) for other in against]
        cells += [spread([one.first_epoch for one in runs])]
        cells += [spread([one.wall for one in found if one.epochs == count], 1) for count in (1, 5)]
        cells += [
            f"{max(one.memory for one in found) / 1e6:,.0f}",
            _score(runs, results.get(OURS, ()), workload, epochs),
        ]
        cells += [f"{runs[0].parameters:,}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _score(runs: Sequence[Measurement], ours: Sequence[Measurement], workload: Workload, epochs: int) -> str:
    """Return the mean score and its standard error, marked where it differs from trainctl's."""
    scores, mine = [one.score for one in runs], [one.score for one in ours if one.epochs == epochs]
    factor, digits = (100, 2) if workload.score == "accuracy" else (1, 5)
    text = f"{factor * statistics.mean(scores):.{digits}f}"
    if len(scores) > 1:
        text += f" ± {factor * statistics.stdev(scores) / math.sqrt(len(scores)):.{digits}f}"
    return text + (" **differs**" if mine and differ(scores, mine, workload.score) else "")


def memory_line(results: Results, data_bytes: int) -> str:
    """Say whether trainctl's memory stays below the data set and 1.5 GB."""
    if not (ours := results.get(OURS)):
        return ""
    peak, limit = max(one.memory for one in ours), data_bytes + 1.5e9
    verdict = "below" if peak < limit else "**above**"
    return (
        f"trainctl's largest resident set, {peak / 1e6:,.0f} MB, is {verdict} the data set's {data_bytes / 1e6:,.0f} MB "
        f"and 1.5 GB."
    )


def scaling(seconds: Mapping[tuple[int, int], Sequence[float]]) -> str:
    """Return a table of trainctl's training time by (epochs, training rows), against proportion to the first."""
    (epochs, rows), first = next(iter(seconds.items()))
    base = statistics.median(first) / (epochs * rows)
    lines = ["| epochs | rows | seconds | times the first | in proportion |", "|---|---|---|---|---|"]
    for (count, size), values in seconds.items():
        expected = count * size / (epochs * rows)
        ratio = statistics.median(values) / (base * epochs * rows)
        lines.append(f"| {count} | {size:,} | {spread(values)} | {ratio:.2f} | {expected:.2f} |")
    return "\n".join(lines)


def keep_notes(before: str, now: str) -> str:
    """Return a new report with the notes that somebody wrote below the old one.

    >>> keep_notes("old\\n\\n## Notes\\n\\nA profile.\\n", "new\\n")
    'new\\n\\n## Notes\\n\\nA profile.\\n'
    """
    _, found, notes = before.partition(f"\n{NOTES}\n")
    return now + (f"\n{NOTES}\n{notes}" if found else "")
