"""The ranked points of a sweep as plain values, for JSON and CSV: numbers in full. Imports no torch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from trainctl.sweep.answer import Answer, Ranking, Standing, is_done
from trainctl.sweep.importance import words_by_key


def as_json(answer: Answer, name: str) -> dict[str, Any]:
    """Return the answer of a sweep: its points, the best of each data set first, and what fresh seeds confirmed."""
    confirmed = [
        {
            "settings": words_by_key(each.words), "value": each.mean, "half_width": each.half_width,
            "values": list(each.values), "worse": each.worse,
            "metrics": {metric: {"mean": mean, "half_width": half} for metric, (mean, half) in each.metrics.items()},
        }
        for ranking in answer.rankings
        for each in ranking.confirmations
    ]  # fmt: skip
    points = [{**row, "settings": words_by_key(each.words)} for each, row in _rows(answer)]
    return {"sweep": name, "monitor": answer.monitor, "points": points, "confirmed": confirmed}


def as_table(answer: Answer) -> list[list[object]]:
    """Return a header and a row for each point, with a column for each key that varies."""
    rows = list(_rows(answer))
    keys = list(dict.fromkeys(key for each, _ in rows for key in words_by_key(each.words)))
    names = [name for name in (rows[0][1] if rows else {}) if name not in ("rank", "values", "means", "trials")]
    monitors = [name for name in answer.monitors if name != answer.monitor]
    states = list(dict.fromkeys(state for _, row in rows for state in row["trials"]))
    table: list[list[object]] = [["rank", *keys, *names, *monitors, *states]]
    for each, row in rows:
        words = words_by_key(each.words)
        table.append(
            [
                row["rank"],
                *(words.get(key, "") for key in keys),
                *(row[name] for name in names),
                *(each.means.get(name) for name in monitors),
                *(row["trials"].get(state, 0) for state in states),
            ]
        )
    return table


def _rows(answer: Answer) -> Iterator[tuple[Standing, dict[str, Any]]]:
    for ranking in answer.rankings:
        for number, each in enumerate(ranking.standings, 1):
            yield each, _row(ranking, each, number)


def _row(ranking: Ranking, each: Standing, number: int) -> dict[str, Any]:
    """Return the values of a point; of one that was not trained in full, ``value`` is null and ``so_far`` its best one."""
    reached = [trial.value for trial in each.trials if trial.value is not None]
    return {
        "rank": number if each.values else None, "point": each.point, "dataset": " ".join(ranking.dataset),
        "value": each.mean, "half_width": each.half_width, "seeds": len(each.values), "values": list(each.values),
        "so_far": reached[0] if not each.values and len(reached) == 1 else None, "means": dict(each.means),
        "verdict": each.verdict, "cheapest": each.cheapest, "front": each.front,
        "epochs": max(trial.epoch for trial in each.trials), "seconds": each.seconds, "parameters": each.parameters,
        "trials": dict(Counter(trial.status for trial in each.trials)), "run": str(first_run(each.trials).directory),
    }  # fmt: skip


def first_run(trials: Sequence[Any]) -> Any:
    """Return the first trial that was trained in full, else the first one."""
    return next((trial for trial in trials if is_done(trial)), trials[0])
