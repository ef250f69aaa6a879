"""What a user reads at the end of a sweep: what follows, why trials failed, and what to do next. No torch."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from trainctl.report import phrases, table
from trainctl.settings.space import Words, key_of
from trainctl.sweep.answer import Answer, Confirmation, Ranking, Standing, is_done
from trainctl.sweep.importance import values_of
from trainctl.sweep.ranked_table import PLUS_MINUS, ranked_table
from trainctl.sweep.trial import Trial
from trainctl.wording import amount, shell_words

MOST_ROWS = 50  # of the table; results.csv has all
MOST_REASONS = 10
LONGEST_REASON = 160  # characters of it that are printed


def failures(trials: Iterable[Trial]) -> list[tuple[str, list[Trial]]]:
    """Return the failed trials by reason, the most frequent first; reasons that differ only in numbers are one."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.status == "failed":
            groups.setdefault(re.sub(r"\d+", "0", short_reason(trial)), []).append(trial)
    return sorted(((short_reason(each[0]), each) for each in groups.values()), key=lambda item: -len(item[1]))


def short_reason(trial: Trial) -> str:
    """Return why a trial failed, without the details: its log and results.csv have all.

    >>> from pathlib import Path
    >>> short_reason(Trial(0, (), (), Path("0"), reason="the loss is nan at step 5; try a smaller optimizer.lr"))
    'the loss is nan at step 5'
    """
    text = " ".join(trial.reason.split()).partition("; ")[0] or "unknown reason"
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 3]}..."


def path_of(trial: Trial, path: Path) -> str:
    """Return a path of a trial quoted for the shell; as scp takes it, if the trial ran on a machine with a directory of its own.

    >>> path_of(Trial(0, (), (), Path("runs/mine/0-a"), place="node7:/scratch/mine"), Path("runs/mine/logs/0-a.log"))
    'node7:/scratch/mine/logs/0-a.log'
    """
    home = trial.directory.parent
    if not trial.place or not path.is_relative_to(home):
        return phrases.pasteable(path)
    return shell_words([f"{trial.place}/{path.relative_to(home)}"])


def winner_command(words: Words, fixed: Sequence[str]) -> str:
    """Return the command that trains a point again, ready to paste.

    Args:
        words: Those of the point.
        fixed: Those of all trials, the number of threads included.

    >>> winner_command(("optimizer.lr=0.1",), ("dataset=iris", "model.hidden=[8, 8]"))
    "trainctl dataset=iris 'model.hidden=[8, 8]' optimizer.lr=0.1"
    """
    return shell_words(["trainctl", *fixed, *words])


def show(answer: Answer, home: Path, fixed: Sequence[str] = (), stream: TextIO | None = None) -> None:
    """Print the answer of a sweep: its tables, what cannot be distinguished, failures, and the next command.

    Args:
        answer: The answer.
        home: The directory of the sweep.
        fixed: The words of all trials, for the command that trains the winner.
        stream: Where to print; standard output by default.
    """
    for ranking in answer.rankings:
        table.line(stream=stream)
        _show_ranking(ranking, answer, stream)
        for text in conclusions(ranking, answer.monitor):
            table.line(text, stream=stream)
    if answer.overall:
        rows = [[f"{each.mean:.4g}", *map(str, each.ranks), " ".join(each.words) or "-"] for each in answer.overall]
        names = [" ".join(ranking.dataset) for ranking in answer.rankings]
        table.line(stream=stream)
        headers = ["mean rank", *names, "settings"]
        table.show(headers, rows[:MOST_ROWS], title="Over all data sets", right={"mean rank", *names}, stream=stream)
    for text in why_trials_failed(answer, home):
        table.line(text, stream=stream)
    table.line(stream=stream)
    for text in phrases.labelled(next_steps(answer, home, fixed)):
        table.line(text, stream=stream)


def _show_ranking(ranking: Ranking, answer: Answer, stream: TextIO | None) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = ranked_table(ranking, answer.monitor, answer.monitors, encoding, MOST_ROWS)
    trials = sum(len(each.trials) for each in ranking.standings)
    name = f"{' '.join(ranking.dataset)}: " if ranking.dataset else ""
    intervals = any(each.half_width is not None for each in ranking.standings)
    what = f"{answer.monitor}, mean and 95 % interval" if intervals else answer.monitor
    title = f"{name}{amount(len(ranking.standings), 'point')}, {amount(trials, 'trial')}, by {what}"
    table.show(shown.headers, shown.rows, title=title, right=shown.right, optional=shown.optional, stream=stream)
    if (hidden := len(ranking.standings) - MOST_ROWS) > 0:
        table.line(f"{amount(hidden, 'more point')}: see results.csv", stream=stream)


def conclusions(ranking: Ranking, monitor: str) -> list[str]:
    """Return what follows from a ranking, and what does not, in sentences."""
    best = ranking.best
    if best is None:
        return ["No trial was trained in full, so there is no best point."]
    if not ranking.compared:
        return [_no_claim(ranking)] * (sum(bool(each.values) for each in ranking.standings) > 1) + quotes(
            ranking, monitor
        )
    lines = []
    others = len(ranking.indistinct) - 1
    if others:
        points = amount(others, "other point")
        lines.append(f"{points} cannot be distinguished from the best (paired by seed, 5 % for all comparisons).")
    elif all(each.verdict in ("best", "worse") for each in ranking.standings if each.values):
        lines.append("The best point is better than every other one (paired by seed, 5 % for all comparisons).")
    if others and (cheapest := ranking.cheapest) is not None:
        lines.append(
            f"The cheapest of these: {_differing(cheapest, ranking)} ({phrases.duration(cheapest.seconds)} per trial)"
        )
    return lines + quotes(ranking, monitor)


def _no_claim(ranking: Ranking) -> str:
    """Return why no difference can be claimed."""
    if max(len(each.values) for each in ranking.standings) < 2:
        return "With one seed no difference can be claimed; add sweep.seeds=5 to compare the points."
    return "Too few trials with the same seeds were trained in full, so no difference can be claimed."


def _differing(point: Standing | Confirmation, ranking: Ranking) -> str:
    """Return the words of a point whose key varies."""
    varying = values_of(ranking.standings)
    return " ".join(word for word in point.words if key_of(word) in varying) or f"point {point.point}"


def quotes(ranking: Ranking, monitor: str) -> list[str]:
    """Return the numbers to quote, measured with seeds that did not choose the point."""
    confirmations = ranking.confirmations
    if not confirmations:
        return []
    lines = ["The numbers to quote, from fresh seeds (with its own seeds, the best of many was also lucky):"]
    for each in confirmations:
        metrics = {monitor: (each.mean, each.half_width)} | each.metrics
        texts = [f"{name} {phrases.number(mean)}{_interval(half)}" for name, (mean, half) in metrics.items()]
        lines.append(f"  {_differing(each, ranking)}: {', '.join(texts)} ({amount(len(each.values), 'seed')})")
    if len(confirmations) > 1 and not any(each.worse for each in confirmations):
        known = {each.point for each in ranking.standings if each.verdict == "worse"}
        either = "" if known.intersection(each.point for each in confirmations) else " either"
        lines.append(f"  Fresh seeds do not tell them apart{either}.")
    return lines


def _interval(half: float | None) -> str:
    return "" if half is None else f" {PLUS_MINUS} {phrases.number(half)}"


def why_trials_failed(answer: Answer, home: Path) -> list[str]:
    """Return why trials failed, by reason, with a log of each."""
    groups = failures(trial for each in answer.standings for trial in each.trials)
    if not groups:
        return []
    lines = ["", f"{amount(sum(len(trials) for _, trials in groups), 'trial')} failed:"]
    for reason, trials in groups[:MOST_REASONS]:
        log = next((path_of(trial, trial.log) for trial in trials if trial.log is not None), "")
        lines.append(f"  {len(trials)} x {reason}" + (f" (log: {log})" if log else ""))
    if len(groups) > MOST_REASONS:
        lines.append(f"  and {len(groups) - MOST_REASONS} other reasons: see {phrases.pasteable(home / 'results.csv')}")
    return lines


def next_steps(answer: Answer, home: Path, fixed: Sequence[str]) -> list[phrases.Line]:
    """Return where the results are, and the command that trains the winner of each data set."""
    lines = [("sweep", phrases.pasteable(home)), ("results", phrases.pasteable(home / "results.csv"))]
    for ranking in answer.rankings:
        if (best := ranking.best) is not None:
            first = next(trial for trial in best.trials if is_done(trial))
            lines.append(("best run", path_of(first, first.directory)))
            lines.append(("next", winner_command(best.words, fixed)))
    return lines
