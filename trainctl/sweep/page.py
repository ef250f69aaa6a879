"""Gather the page of a sweep: its ranked table, plots, learning curves, failures, and the winner's command. No torch."""

import math
from collections.abc import Sequence
from pathlib import Path

from trainctl.errors import CheckpointError
from trainctl.finished.report.facts import signature
from trainctl.machine import memory
from trainctl.report import phrases
from trainctl.report.chart import GREY, RED, Chart, Series, thinned, wide
from trainctl.report.document import Block, Cards, Charts, Commands, Document, Drawing, Facts, Prose, Section, Table
from trainctl.store import rundir, runfile, runpath
from trainctl.store.runpath import AnyPath
from trainctl.sweep import plots, results
from trainctl.sweep.answer import Answer, Ranking, Standing, is_done
from trainctl.sweep.ranked_table import ranked_table
from trainctl.sweep.record import SweepRecord, require_readable
from trainctl.sweep.trial import Trial
from trainctl.wording import agree, amount

MOST_POINTS = 1000  # of the table
MOST_CURVES = 150  # trials whose curves are drawn
NAMED = 8  # points whose first trials are named, the best first
MOST_ROWS = 400  # evaluations of a curve
SHOWN = {
    "parameters": "The metric by each setting", "parallel": "Each point as a line through its settings",
    "importance": "How much each setting matters", "front": "The Pareto front",
}  # fmt: skip


@memory.without_collections()  # there may be 10,000 points
def gather(path: Path, root: Path) -> tuple[Document, list[str]]:
    """Return the page of a sweep, finished or not, and a line for each plot that could not be drawn.

    Args:
        path: Its directory.
        root: The directory that its name is relative to.

    Raises:
        CheckpointError: If it cannot be read.
    """
    sweep = require_readable(path, root)
    answer, held = sweep.answer, runpath.hold(path)
    drawn, notes = plots.draw(answer, held, SHOWN, _last_written(sweep, held))
    document = Document("sweep", path.absolute().name, _lead(sweep), made_by=signature())
    document.top += [_first_numbers(sweep, answer), *_state(sweep, path)]
    for number, ranking in enumerate(answer.rankings):
        of = f" on {' '.join(word.partition('=')[2] for word in ranking.dataset)}" if ranking.dataset else ""
        own = [file for file in drawn if len(answer.rankings) == 1 or file.parent.name.startswith(f"{number}-")]
        document.sections += [
            Section(f"Ranking{of}", _ranking(ranking, answer)),
            Section(f"Plots{of}", [*_plots(own), *_curves(ranking, answer, number, document.title)]),
        ]
    document.sections += [
        Section("Over all data sets", _overall(answer)), Section("Failures", _failures(answer, path)),
        Section("Settings of all trials", [Facts([tuple(word.partition("=")[::2]) for word in sweep.fixed])] if sweep.fixed else []),  # type: ignore[misc]
        Section("Train the winner", _winner(sweep, answer, path)),
    ]  # fmt: skip
    return document, notes


def _last_written(sweep: SweepRecord, held: runpath.RunPath) -> float:
    """Return when a complete sweep was last written to [s since 1970], after which its plots show what it is; else infinity.

    Another version of trainctl may have drawn them otherwise.
    """
    if sweep.outcome != "finished" or rundir.read_json(held / "sweep.json").get("trainctl") != rundir.version():
        return math.inf
    names = runfile.names(held / "journal")
    stamps = [found.st_mtime for name in names if (found := runpath.status(held / "journal" / name)) is not None]
    return max(stamps, default=math.inf)


def _lead(sweep: SweepRecord) -> str:
    points, trials = amount(sweep.points, "point"), amount(len(sweep.trials), "trial")
    return f"{points}, {trials}, by {sweep.monitor}. {sweep.outcome.capitalize()}."


def _first_numbers(sweep: SweepRecord, answer: Answer) -> Cards:
    items = []
    for ranking in answer.rankings[:3]:
        if (best := ranking.best) is not None:
            half = "" if best.half_width is None else f"± {phrases.number(best.half_width)}, {len(best.values)} seeds"
            items.append((f"best {answer.monitor}", phrases.number(best.mean), " ".join(best.words) or half))
            if half:
                items.append(("95 % interval of the best", half.partition(",")[0], f"{len(best.values)} seeds"))
    counts = ", ".join(f"{count:,} {status}" for status, count in sweep.counts.items())
    items += [
        ("trials", f"{len(sweep.trials):,}", counts),
        ("training time", phrases.duration(sweep.seconds), "all trials together"),
    ]
    return Cards(items)


def _state(sweep: SweepRecord, path: Path) -> list[Block]:
    if sweep.outcome == "running":
        return [Prose("The sweep is running; these are its results so far.", "warning")]
    if sweep.outcome == "interrupted":
        return [
            Prose(f"The sweep is not complete; continue it with: trainctl resume {phrases.pasteable(path)}", "warning")
        ]
    return []


def _ranking(ranking: Ranking, answer: Answer) -> list[Block]:
    """Return the ranked table, and what follows from it."""
    shown = ranked_table(ranking, answer.monitor, answer.monitors)
    right = frozenset(place for place, header in enumerate(shown.headers) if header in shown.right)
    strong = frozenset(place for place, each in enumerate(ranking.standings[:MOST_POINTS]) if each.verdict == "best")
    caption = (
        f"{answer.monitor}, mean and 95 % interval" if any(e.half_width for e in ranking.standings) else answer.monitor
    )
    blocks: list[Block] = [Prose(text.strip()) for text in results.conclusions(ranking, answer.monitor)]
    blocks.append(Table(shown.headers, shown.rows[:MOST_POINTS], right, caption, strong))
    if (hidden := len(shown.rows) - MOST_POINTS) > 0:
        blocks.append(Prose(f"{amount(hidden, 'further point')} {agree(hidden, 'is', 'are')} in results.csv.", "note"))
    return blocks


def _plots(files: Sequence[AnyPath]) -> list[Block]:
    """Return the pictures of a sweep."""
    found: list[Block] = []
    for file in files:
        name = file.name.removesuffix(".png")
        if name in SHOWN:
            found.append(Drawing(runfile.read_bytes(file, plots.LARGEST), SHOWN[name]))
    return found


def _curves(ranking: Ranking, answer: Answer, number: int, name: str) -> list[Block]:
    """Return the learning curves of the best trials, which can be hovered."""
    drawn: list[Series] = []
    for place, each in enumerate(ranking.standings):
        for repetition, trial in enumerate(each.trials):
            named = place < NAMED and not repetition
            if len(drawn) < MOST_CURVES and (series := _curve(trial, each, answer.monitor, place if named else None)):
                drawn.append(series)
    if not drawn:
        return []
    values = [y for series in drawn for _, y in series.points]
    total = sum(len(each.trials) for each in ranking.standings)
    some = f": {len(drawn)} of {amount(total, 'trial')}, the best first" if len(drawn) < total else ""
    chart = Chart(
        name=f"curves_{number}", title=f"Learning curves{some}", about=name, x_label="epoch", y_label=answer.monitor,
        series=tuple(reversed(drawn)), log_y=wide(values), x_word="epoch", last_first=True,
    )  # fmt: skip
    return [Charts([chart])]


def _curve(trial: Trial, standing: Standing, monitor: str, place: int | None) -> Series | None:
    """Return the curve of a trial, thin and without a name unless it has a place; None without a finite value."""
    try:
        rows = [row for row in rundir.read_metrics(trial.directory) if monitor in row]
    except CheckpointError:
        return None
    values = [float(row[monitor]) if math.isfinite(row[monitor]) else math.nan for row in rows]
    if not any(map(math.isfinite, values)):
        return None
    epochs = [float(row.get("epoch", math.nan)) for row in rows]
    if place is None:
        return thinned(Series("", epochs, values, "thin", GREY), MOST_ROWS)
    best = standing.verdict == "best"
    words = " ".join((*standing.words, *trial.replicate)) or trial.directory.name
    colour = RED if best else place if place < RED else place + 1
    return thinned(Series(f"{words} (best point)" if best else words, epochs, values, "line", colour), MOST_ROWS)


def _overall(answer: Answer) -> list[Block]:
    if not answer.overall:
        return []
    names = [" ".join(ranking.dataset) for ranking in answer.rankings]
    rows = [[f"{each.mean:.4g}", *map(str, each.ranks), " ".join(each.words) or "-"] for each in answer.overall]
    right = frozenset(range(len(names) + 1))
    return [Table(["mean rank", *names, "settings"], rows[:MOST_POINTS], right)]


def _failures(answer: Answer, home: Path) -> list[Block]:
    """Return why trials failed, the most frequent reason first."""
    groups = results.failures(trial for each in answer.standings for trial in each.trials)
    rows = []
    for reason, trials in groups:
        log = next((results.path_of(trial, trial.log) for trial in trials if trial.log is not None), "")
        first = " ".join((*trials[0].words, *trials[0].replicate)) or "-"
        rows.append([f"{len(trials)}", reason, first, log])
    return [Table(["trials", "reason", "for example", "log"], rows, frozenset({0}))] if rows else []


def _winner(sweep: SweepRecord, answer: Answer, path: Path) -> list[Block]:
    """Return the command that trains the winner again, and where its run is."""
    items = []
    for ranking in answer.rankings:
        if (best := ranking.best) is not None:
            first = next(trial for trial in best.trials if is_done(trial))
            of = f" of {' '.join(ranking.dataset)}" if ranking.dataset else ""
            items.append((f"Train the best point{of} again:", results.winner_command(best.words, sweep.fixed)))
            where = results.path_of(first, first.directory)
            items.append((f"Look at its first run{of}:", f"trainctl report {where}"))
    items.append(("The table of this page:", f"trainctl compare {phrases.pasteable(path)}"))
    return [Commands(items)]
