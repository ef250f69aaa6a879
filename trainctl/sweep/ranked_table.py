"""The ranked table of a sweep: one row for each point, and only what varies. Imports no torch."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainctl.report import phrases, table
from trainctl.sweep.answer import Ranking, Standing
from trainctl.sweep.importance import values_of

LABELS = {
    "best": "best", "tied": "not distinguishable from the best", "worse": "worse", "untold": "", "pruned": "pruned",
    "paused": "paused", "waiting": "not finished", "failed": "failed",
}  # fmt: skip
PLUS_MINUS = "±"


@dataclass(frozen=True)
class Table:
    """A table, ready for :func:`trainctl.report.table.show`.

    Args:
        headers: One for each column.
        rows: The cells, one row for each point, the best first.
        right: The headers of the right-aligned columns.
        optional: The headers of the columns that a narrow terminal hides, in this order.
    """

    headers: list[str]
    rows: list[list[str]]
    right: set[str]
    optional: list[str]


def ranked_table(
    ranking: Ranking, monitor: str, monitors: Sequence[str] = (), encoding: str = "utf-8", most: int | None = None
) -> Table:
    """Return one row for each point, with the columns that vary.

    Args:
        ranking: The points, ranked.
        monitor: The metric that they are ranked by.
        monitors: The metrics of the Pareto front; empty with one.
        encoding: That of the terminal: without ``±`` in it, intervals are written with ``+-``.
        most: The number of rows, from the best on; the columns are those of all points. None for all rows.
    """
    every, shown = ranking.standings, ranking.standings[:most]
    sign = plus_minus(encoding)
    columns: dict[str, list[str]] = {"rank": _ranks(shown)}
    columns |= {
        printed(key, encoding): [printed(cell, encoding) for cell in column[:most]]
        for key, column in values_of(every).items()
    }
    keys = list(columns)[1:]
    columns[monitor] = [_metric(each, sign) for each in shown]
    others = [name for name in monitors if name != monitor]
    columns |= {name: [phrases.number(each.means.get(name)) for each in shown] for name in others}
    details = {name: list(map(cell, shown)) for name, cell in DETAILS.items() if _is_told(name, every)}
    columns |= details
    equals = len(ranking.indistinct) > 1
    if any(_verdict(each, equals, bool(others)) for each in every):
        columns["verdict"] = [_verdict(each, equals, bool(others)) for each in shown]
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    numeric = {"rank", monitor, *others, *details} - {"trials"}
    return Table(list(columns), rows, numeric, [*reversed(details), *reversed(keys[4:])])


def plus_minus(encoding: str) -> str:
    """Return the sign before half the width of an interval, in characters that a terminal's encoding has.

    >>> plus_minus("utf-8"), plus_minus("ascii")
    ('±', '+-')
    """
    try:
        PLUS_MINUS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "+-"
    return PLUS_MINUS


def _is_told(name: str, standings: Sequence[Standing]) -> bool:
    """Return whether a column says more than that everything is as expected."""
    if name == "time":
        return True
    if name == "seeds":
        return any(len(each.trials) > 1 for each in standings)
    if name == "trials":
        return any(trial.status != "finished" for each in standings for trial in each.trials)
    return len({DETAILS[name](each) for each in standings}) > 1


def printed(text: str, encoding: str = "utf-8") -> str:
    """Return a text that cannot control a terminal; it never is a column's reserved name."""
    return table.printable(text, encoding) or "-"


def _ranks(standings: Sequence[Standing]) -> list[str]:
    return [str(number) if each.values else "-" for number, each in enumerate(standings, 1)]


def _metric(standing: Standing, sign: str) -> str:
    """Return the mean with its interval; of a point that is not trained in full, the best value so far in brackets."""
    if standing.mean is not None:
        width = standing.half_width
        return phrases.number(standing.mean) + ("" if width is None else f" {sign} {phrases.number(width)}")
    values = [trial.value for trial in standing.trials if trial.value is not None]
    return f"({phrases.number(values[0])})" if len(values) == 1 else "-"


def counted(standing: Standing) -> str:
    """Return how many trials of a point have which status, the most frequent first."""
    counts = Counter(trial.status for trial in standing.trials)
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())


def _verdict(standing: Standing, equals: bool, several: bool) -> str:
    marks = [LABELS[standing.verdict]]
    marks += ["cheapest of these"] * (standing.cheapest and equals)
    marks += ["Pareto front"] * (standing.front and several)
    return ", ".join(mark for mark in marks if mark)


# What is said of a point's training, by the header of its column.
DETAILS: dict[str, Callable[[Standing], str]] = {
    "seeds": lambda each: str(len(each.values)),
    "trials": counted,
    "epochs": lambda each: phrases.epochs(max(trial.epoch for trial in each.trials)),
    "time": lambda each: phrases.duration(each.seconds),
    "parameters": lambda each: phrases.count(each.parameters or None),
}
