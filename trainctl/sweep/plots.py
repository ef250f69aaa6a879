"""Draw the plots of a sweep as PNG files. A plot that cannot be drawn is a note, never an error. Imports no torch."""

import math
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from trainctl.report import figure, phrases
from trainctl.report.curve_charts import joined
from trainctl.settings.config import slug
from trainctl.store import rundir, runpath
from trainctl.store.runpath import AnyPath
from trainctl.sweep.answer import Answer, Ranking, Standing
from trainctl.sweep.axes import Scale, metric_scale, scale_of, window
from trainctl.sweep.importance import importances, values_of
from trainctl.sweep.trial import Trial
from trainctl.wording import amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST = 4_000_000  # bytes of a plot
MOST_KEYS = 12  # in a plot with a part for each key
MOST_LINES = 300  # learning curves, and lines of the parallel coordinates
BEST, TIED, OTHER, PALE = "#c44e52", "#dd8452", "#4c72b0", "#b8c4d9"
COLOURS = {"best": BEST, "tied": TIED}
COLUMNS = 3  # plots side by side


def draw(
    answer: Answer, directory: AnyPath, only: Collection[str] = (), since: float = math.inf
) -> tuple[list[AnyPath], list[str]]:
    """Draw the plots of a sweep.

    Args:
        answer: The answer.
        directory: The directory of the sweep; the files are ``plots/*.png`` in it, and ``plots/DATASET/*.png`` if the
            data set varies.
        only: The plots to draw; all if it is empty.
        since: Files that were written after this time [s since 1970] are kept as they are.

    Returns:
        The files, and a line for each plot that could not be drawn.
    """
    files: list[AnyPath] = []
    notes: list[str] = []
    plots: dict[str, Callable[[Ranking, Answer, AnyPath, str], bool]] = {
        "parameters": parameters, "parallel": parallel, "importance": importance, "curves": curves,
    }  # fmt: skip
    if len(answer.monitors) > 1:
        plots["front"] = front
    for number, ranking in enumerate(answer.rankings):
        place = directory / "plots"
        if len(answer.rankings) > 1:
            place = place / f"{number}-{slug(','.join(ranking.dataset) or 'run')}"
        about = joined(directory.name, figure.short(" ".join(ranking.dataset)))
        for name in [name for name in plots if name in (only or plots)]:
            path = place / f"{name}.png"
            try:
                if _is_kept(path, since):
                    files.append(path)
                    continue
                with figure.style():
                    if plots[name](ranking, answer, path, about):
                        files.append(path)
            except Exception as error:  # noqa: BLE001 - no plot is worth a sweep
                notes.append(f"cannot draw {path}: {type(error).__name__}: {' '.join(str(error).split())}")
    return files, notes


def _is_kept(path: AnyPath, since: float) -> bool:
    """Return whether a file was written after a time; what cannot be a plot is drawn anew."""
    found = runpath.status(path)
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST and found.st_mtime > since


def parameters(ranking: Ranking, answer: Answer, path: AnyPath, about: str = "") -> bool:
    """Draw the metric over each setting, the points with their intervals; return whether there was anything to draw."""
    full = [each for each in ranking.standings if each.mean is not None]
    columns = dict(list(values_of(full).items())[:MOST_KEYS])
    if not columns:
        return False
    drawn, grid = _grid(len(columns), 3.4, 3.0)
    for axes, (key, column) in zip(grid, columns.items(), strict=True):
        scale = scale_of(_by_number(full, column))
        positions = scale.spread(column)
        for verdict in ("", "tied", "best"):  # the best one on top
            chosen = [
                row for row, each in enumerate(full) if (each.verdict if each.verdict in COLOURS else "") == verdict
            ]
            _dots(axes, [full[row] for row in chosen], [positions[row] for row in chosen], verdict)
        scale.label(axes, key)
        _limit(axes, [each.mean for each in full if each.mean is not None], answer.maximizes(answer.monitor))
    grid[0].set_ylabel(answer.monitor, parse_math=False)
    _legend(drawn, full)
    figure.headline(drawn, f"{answer.monitor} by setting", about)
    figure.write(drawn, path)
    return True


def _dots(axes: "Axes", standings: Sequence[Standing], positions: Sequence[float], verdict: str) -> None:
    """Draw points of one colour with their intervals, all at once: there may be 10,000."""
    if not standings:
        return
    widths = [math.nan if each.half_width is None else each.half_width for each in standings]
    means = [each.mean for each in standings if each.mean is not None]  # all have one
    axes.errorbar(
        positions, means, yerr=None if all(map(math.isnan, widths)) else widths, fmt="o",
        color=COLOURS.get(verdict, OTHER), markersize=5, elinewidth=1.0, alpha=1.0 if verdict in COLOURS else 0.55,
    )  # fmt: skip


def parallel(ranking: Ranking, answer: Answer, path: AnyPath, about: str = "") -> bool:
    """Draw each point as a line through its settings and its metric; return whether there was anything to draw."""
    full = [each for each in ranking.standings if each.mean is not None][:MOST_LINES]
    columns = dict(list(values_of(full).items())[:MOST_KEYS])
    if len(columns) < 2:
        return False
    means = [each.mean for each in full if each.mean is not None]
    columns[answer.monitor] = [repr(mean) for mean in means]
    drawn, axes = figure.figure(max(6.0, 1.6 * len(columns)), 4.6)
    heights = []
    for index, (key, column) in enumerate(columns.items()):
        measured = key == answer.monitor
        scale = metric_scale(means, larger=answer.maximizes(key)) if measured else scale_of(_by_number(full, column))
        heights.append(scale.heights(column))
        _upright(axes, index, key, scale)
    colour = _colours(len(full))
    for row in reversed(range(len(full))):
        best = full[row].verdict == "best"
        line = [column[row] for column in heights]
        axes.plot(
            range(len(line)), line, color=BEST if best else colour[row], linewidth=2.6 if best else 1.0,
            alpha=1.0 if best else 0.65, label="best" if best else None, zorder=3 if best else 2,
        )  # fmt: skip
    axes.set_xlim(-0.15, len(columns) - 1 + 0.35)
    axes.set_ylim(-0.06, 1.06)
    axes.set_xticks(range(len(columns)), [figure.short(key) for key in columns], parse_math=False)
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    figure.legend(drawn, [axes])
    figure.headline(drawn, "All points: the stronger a line, the better", about)
    figure.write(drawn, path)
    return True


def _by_number(standings: Sequence[Standing], column: Sequence[str]) -> list[str]:
    """Return the values in the order of the points' numbers, which is that in which they were typed."""
    return [column[row] for row in sorted(range(len(column)), key=lambda row: standings[row].point)]


def _upright(axes: "Axes", index: int, key: str, scale: Scale) -> None:
    """Draw an upright axis with the values of a key."""
    axes.axvline(index, color="#888888", linewidth=1.0, zorder=1)
    for height, text in scale.ticks():
        axes.text(
            index + 0.03, height, figure.short(text), fontsize=8, va="center", parse_math=False, zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
        )  # fmt: skip


def _colours(count: int) -> list[Any]:
    """Return a colour for each rank: the better, the darker."""
    import matplotlib as mpl

    palette = mpl.colormaps["Blues"]
    return [palette(0.85 - 0.6 * row / max(1, count - 1)) for row in range(count)]


def importance(ranking: Ranking, answer: Answer, path: AnyPath, about: str = "") -> bool:
    """Draw how much each setting matters; return whether there was anything to draw."""
    shares = dict(list(importances(ranking.standings, maximize=answer.maximizes(answer.monitor)).items())[:MOST_KEYS])
    if not shares:
        return False
    drawn, axes = figure.figure(7.0, 1.5 + 0.42 * len(shares))
    axes.barh(range(len(shares)), list(shares.values()), height=0.65, color=OTHER)
    for row, share in enumerate(shares.values()):
        axes.text(share + 0.01, row, f"{100 * share:.0f} %", va="center", fontsize=9)
    axes.set_yticks(range(len(shares)), [figure.short(key) for key in shares], parse_math=False)
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_xlim(0, 1.1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of the variance of the ranks that the setting explains alone")
    figure.headline(drawn, f"What matters for {answer.monitor}", about)
    figure.write(drawn, path)
    return True


def curves(ranking: Ranking, answer: Answer, path: AnyPath, about: str = "") -> bool:
    """Draw the learning curve of every trial, the best point's on top; return whether there was anything to draw."""
    best = ranking.best
    chosen = _evenly([trial for each in ranking.standings for trial in each.trials], best)
    lines = [(trial, _rows(trial, answer.monitor)) for trial in chosen]
    drawn, axes = figure.figure(7.0, 4.2)
    shown: list[float] = []
    for trial, rows in reversed(lines):
        rows = [row for row in rows if answer.monitor in row]
        values = [float(row[answer.monitor]) for row in rows]
        values = [value if math.isfinite(value) else math.nan for value in values]
        is_best = best is not None and trial.point == best.point
        if any(math.isfinite(value) for value in values):
            axes.plot(
                [row.get("epoch", math.nan) for row in rows], values, color=BEST if is_best else PALE,
                linewidth=1.6 if is_best else 0.8, zorder=3 if is_best else 2, marker="o" if len(rows) == 1 else "",
                markersize=3,
            )  # fmt: skip
            shown += [value for value in values if math.isfinite(value)]
    if not shown:
        return False
    _limit(axes, shown, answer.maximizes(answer.monitor), reach=10.0)  # the first epochs are worse
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel(answer.monitor, parse_math=False)
    total = sum(len(each.trials) for each in ranking.standings)
    some = f" ({len(chosen)} of {amount(total, 'trial')})" if len(chosen) < total else ""
    red = "" if best is None else ": the best point in red"
    figure.headline(drawn, f"Learning curves{some}{red}", about)
    figure.write(drawn, path)
    return True


def _rows(trial: Trial, monitor: str) -> Sequence[Mapping[str, float]]:
    """Return the evaluations of a trial: from its files, or from the journal if they are on another machine."""
    rows = [] if trial.place else rundir.read_metrics(trial.directory)
    return rows or [{"epoch": epoch, monitor: value} for epoch, value in trial.curve]


def _evenly(trials: Sequence[Trial], best: Standing | None) -> list[Trial]:
    """Return the trials to draw: all of the best point's, and of the others as many as fit, evenly over the ranks."""
    first = [trial for trial in trials if best is not None and trial.point == best.point]
    others = [trial for trial in trials if best is None or trial.point != best.point]
    step = max(1, math.ceil(len(others) / MOST_LINES))
    return first + others[::step]


def front(ranking: Ranking, answer: Answer, path: AnyPath, about: str = "") -> bool:
    """Draw the Pareto front of each pair of metrics; return whether there was anything to draw."""
    known = [each for each in ranking.standings if each.means]
    names = answer.monitors
    pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]][:MOST_KEYS]
    if not pairs or not known:
        return False
    drawn, grid = _grid(len(pairs), 4.6, 3.8)
    for axes, (across, up) in zip(grid, pairs, strict=True):
        inside = [each for each in known if not each.front]
        edge = sorted((each for each in known if each.front), key=lambda each: each.means[across])
        axes.plot([e.means[across] for e in inside], [e.means[up] for e in inside], "o", color=PALE, label="dominated")
        style = "o-" if len(names) == 2 else "o"
        axes.plot([e.means[across] for e in edge], [e.means[up] for e in edge], style, color=BEST, label="Pareto front")
        axes.set_xlabel(across, parse_math=False)
        axes.set_ylabel(up, parse_math=False)
        _limit(axes, [each.means[across] for each in known], answer.maximizes(across), "x")
        _limit(axes, [each.means[up] for each in known], answer.maximizes(up))
    drawn.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.headline(drawn, "Pareto front", about)
    figure.write(drawn, path)
    return True


def _grid(count: int, width: float, height: float) -> tuple[Any, list["Axes"]]:
    """Return a figure with so many axes of a size [inches], and the axes."""
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    drawn, first = figure.figure(max(5.0, width * columns), height * rows + 0.7)
    first.remove()
    grid = drawn.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes in grid[count:]:
        axes.remove()
    for axes in grid[:count]:
        axes.grid(visible=True)
    return drawn, grid[:count]


def _limit(
    axes: "Axes", values: Sequence[float], larger: bool, direction: Literal["x", "y"] = "y", reach: float = 4.0
) -> None:
    """Choose the scale of a metric, so that diverged points do not flatten the others."""
    if phrases.is_wide(values):
        axes.set(**{f"{direction}scale": "log"})
    elif (edges := window(values, larger=larger, reach=reach)) is not None:
        margin = 0.06 * (edges[1] - edges[0])
        axes.set(**{f"{direction}lim": (edges[0] - margin, edges[1] + margin)})
        text = "worse values are outside"
        axes.text(0.99, 1.01, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=8, color="#888888")


def _legend(drawn: Any, standings: Sequence[Standing]) -> None:
    """Name the colours that occur."""
    from matplotlib.lines import Line2D

    names = {"best": "best", "tied": "not distinguishable from the best", "": "others"}
    present = {each.verdict if each.verdict in COLOURS else "" for each in standings}
    handles = [
        Line2D([], [], marker="o", linestyle="", color=COLOURS.get(verdict, OTHER), label=text)
        for verdict, text in names.items()
        if verdict in present
    ]
    drawn.legend(handles=handles, loc="outside lower center", ncols=3)
