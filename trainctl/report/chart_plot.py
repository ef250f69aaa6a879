"""Draw charts as PNG files. matplotlib is imported inside the functions, and pyplot never."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainctl.report import dates
from trainctl.report.canvas import figure as _canvas
from trainctl.report.chart import Chart, Mark, Series
from trainctl.report.figure import cut, headline, legend, legend_columns, plain, style, write
from trainctl.store.runpath import AnyPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 30  # points of a line that have a marker each
BEST = "#c44e52"


def draw(chart: Chart, path: AnyPath) -> AnyPath:
    """Draw a chart.

    Raises:
        StorageError: If the file cannot be written.
    """
    return panel([chart], chart.title, chart.about, path)


def panel(charts: Sequence[Chart], title: str, about: str, path: AnyPath) -> AnyPath:
    """Draw charts below each other in one picture, with one title, and one legend for all.

    Args:
        charts: The charts; each has its own title if there are several.
        title: Of the picture.
        about: Run, data and split.
        path: The PNG file.

    Raises:
        StorageError: If the file cannot be written.
    """
    with style():
        height = 5.0 if charts[0].square else 4.2 if len(charts) == 1 else 0.9 + 3.2 * len(charts)
        width = 5.8 if charts[0].square else 7.0
        names = list(dict.fromkeys(cut(series.name, 60) for each in charts for series in each.series if series.name))
        names += [each.mark.label for each in charts[:1] if each.mark]
        lines = math.ceil(len(names) / legend_columns(width, names)) if names else 0
        figure = _canvas(width, height + 0.2 * max(0, lines - 1))
        panels = figure.subplots(len(charts), 1, squeeze=False)[:, 0]
        for axes, chart in zip(panels, charts, strict=True):
            fill(axes, chart)
            if len(charts) > 1:
                axes.set_title(chart.title, fontsize=10.5, parse_math=False)
        headline(figure, title, about)
        legend(figure, list(panels))
        return write(figure, path)


def fill(axes: "Axes", chart: Chart) -> None:
    """Draw a chart into axes, without its title and legend."""
    axes.grid(True)
    axes.set_xlabel(cut(chart.x_label, 50 if chart.square else 80), parse_math=False)
    axes.set_ylabel(cut(chart.y_label, 36), parse_math=False)
    if not chart.drawable:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", va="center", color="#888888")
        return
    if chart.log_x:
        axes.set_xscale("log")
    if chart.log_y:
        axes.set_yscale("log")
    for series in chart.series:
        _series(axes, series)
    if chart.mark:
        _mark(axes, chart.mark)
    _limits(axes, chart)


def _series(axes: "Axes", series: Series) -> None:
    label = plain(cut(series.name, 60)) if series.name else None
    y = [value if math.isfinite(value) else math.nan for value in series.y]
    if series.kind == "bars":
        axes.bar(series.x, y, width=series.width, align="edge", color=series.shown, label=label, linewidth=0)
    elif series.kind == "dots":
        axes.scatter(series.x, y, s=10, color=series.shown, alpha=0.45, linewidths=0, label=label)
    else:
        widths = {"line": 1.8, "thin": 0.9, "dashed": 1.0}
        dashes: Any = (0, (4, 3)) if series.kind == "dashed" else "-"
        marks = _points(y) if series.kind == "line" else {}
        axes.plot(
            series.x, y, color=series.shown, linewidth=widths[series.kind], linestyle=dashes, label=label, **marks
        )


def _points(values: Sequence[float]) -> dict[str, Any]:
    """Return marker settings: every value has one if there are few, else only a value between two gaps."""
    finite = [math.isfinite(value) for value in values]
    isolated = [i for i, ok in enumerate(finite) if ok and not any(finite[max(0, i - 1) : i] + finite[i + 1 : i + 2])]
    return {"marker": "o", "markersize": 4, "markevery": None if len(values) <= FEW else isolated}


def _mark(axes: "Axes", mark: Mark) -> None:
    """Draw a vertical line, and a star if there is a number."""
    label: str | None = mark.label
    if mark.y is not None and math.isfinite(mark.y):
        star: dict[str, Any] = {"color": BEST, "markersize": 13, "markeredgecolor": "white", "zorder": 5}
        axes.plot([mark.x], [mark.y], "*", label=label, **star)
        label = None  # the star is the only legend entry
    axes.axvline(mark.x, color=BEST, linestyle=(0, (4, 3)), linewidth=1.0, label=label, zorder=1)


def _limits(axes: "Axes", chart: Chart) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(*chart.y_range())
    axes.set_xlim(*chart.x_range())
    if chart.square:
        axes.set_aspect("equal")
    if chart.dates:
        named = dates.ticks(*chart.x_range(), 7)
        axes.set_xticks([place for place, _ in named], [text for _, text in named])
        return
    if chart.has_bars:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    if (only := chart.only_place) is not None:
        axes.set_xticks([only])
    elif chart.counted:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
