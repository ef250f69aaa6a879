"""Draw charts as SVG, in the colours of the page's style, with what a mouse shows. Imports no torch."""

import json
import math
from collections.abc import Sequence

from trainctl.report import dates, phrases, table
from trainctl.report.chart import GREY, Chart, Series, thinned
from trainctl.report.html.element import Element, element
from trainctl.report.html.scale import Axis, written

WIDTH, HEIGHT, SQUARE = 480.0, 270.0, 360.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 14.0, 10.0, 42.0
MOST_POINTS = 1500  # of a series that are drawn
MOST_STOPS = 400  # places of a chart at which a mouse shows numbers
SAME = 1e-9  # relative distance of places that are one


def figure(chart: Chart) -> Element:
    """Return a chart with its title, its legend, and a note."""
    shown = [thinned(series, MOST_POINTS) for series in chart.series]
    body = _svg(chart, shown) if chart.drawable else element("p", "no finite value", class_="empty")
    return element(
        "figure",
        element("figcaption", element("b", chart.title), element("small", chart.about) if chart.about else None),
        body,
        _legend(chart, shown),
        element("p", chart.note, class_="note") if chart.note else None,
        class_="chart square" if chart.square else "chart",
    )


def _legend(chart: Chart, shown: Sequence[Series]) -> Element | None:
    named = [series for series in (reversed(shown) if chart.last_first else shown) if series.name]
    marked = [element("li", element("span", class_="key best"), chart.mark.label)] if chart.mark else []
    items = [element("li", element("span", class_=f"key {_colour(series)}"), series.name) for series in named]
    return element("ul", *items, *marked, class_="legend") if items or marked else None


def _colour(series: Series) -> str:
    return "grey" if series.colour == GREY else f"c{series.colour % 10}"


def _axes(chart: Chart) -> tuple[Axis, Axis, float]:
    """Return both axes and the height of the drawing."""
    height = SQUARE if chart.square else HEIGHT
    low, high = chart.x_range()
    bottom, top = chart.y_range()
    right = LEFT + height - TOP - BOTTOM if chart.square else WIDTH - RIGHT
    return Axis(low, high, LEFT, right, chart.log_x), Axis(bottom, top, height - BOTTOM, TOP, chart.log_y), height


def _svg(chart: Chart, shown: Sequence[Series]) -> Element:
    across, up, height = _axes(chart)
    width = across.end + RIGHT
    name = f"clip-{chart.name}"
    window = element("rect", x=across.start, y=up.end, width=across.end - across.start, height=up.start - up.end)
    drawn = element(
        "g", *(part for series in shown for part in _series(series, across, up)), *_mark(chart, across, up),
        clip_path=f"url(#{name})",
    )  # fmt: skip
    return element(
        "svg", element("defs", element("clipPath", window, id=name)), *_grid(chart, across, up, height), drawn,
        element("g", class_="hover"),
        viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=_described(chart),
        data_hover=json.dumps(_stops(chart, shown, across, up), separators=(",", ":")),
        data_near="1" if chart.nearest else None,
    )  # fmt: skip


def _described(chart: Chart) -> str:
    """Return what a chart shows, for who cannot see it."""
    parts = []
    for series in chart.series:
        if points := series.points:
            label = f"{series.name}: " if series.name else ""
            parts.append(f"{label}from {phrases.number(points[0][1])} to {phrases.number(points[-1][1])}")
    return f"{chart.title}, {chart.y_label} over {chart.x_label}. {'; '.join(parts[:10])}"


def _grid(chart: Chart, across: Axis, up: Axis, height: float) -> list[Element]:
    """Return the lines and the numbers of both axes, and their labels."""
    found = []
    for tick in up.ticks(6):
        if chart.has_bars and tick != int(tick):  # a part of a row
            continue
        y = up.place(tick)
        found.append(element("line", x1=across.start, x2=across.end, y1=_r(y), y2=_r(y), class_="grid"))
        found.append(element("text", written(tick), x=LEFT - 6, y=_r(y + 3.5), text_anchor="end", class_="tick"))
    for tick, label in _below(chart, across):
        x = across.place(tick)
        found.append(element("line", x1=_r(x), x2=_r(x), y1=up.start, y2=up.start + 4, class_="axis"))
        found.append(element("text", label, x=_r(x), y=up.start + 16, text_anchor="middle", class_="tick"))
    found.append(element("line", x1=across.start, x2=across.end, y1=up.start, y2=up.start, class_="axis"))
    middle = (across.start + across.end) / 2
    found.append(element("text", chart.x_label, x=_r(middle), y=height - 8, text_anchor="middle", class_="label"))
    centre = _r((up.start + up.end) / 2)
    found.append(
        element(
            "text",
            _fitting(chart.y_label, up.start - up.end),
            x=13,
            y=centre,
            text_anchor="middle",
            class_="label",
            transform=f"rotate(-90 13 {centre:g})",
        )
    )
    return found


def _below(chart: Chart, across: Axis) -> list[tuple[float, str]]:
    """Return the places of the horizontal axis that are named, and their names."""
    if chart.dates:
        return dates.ticks(across.low, across.high, 6)
    if (only := chart.only_place) is not None:
        return [(only, chart.x_texts.get(only, written(only)))]
    found = across.ticks(5 if chart.square else 7)
    return [(tick, chart.x_texts.get(tick, written(tick))) for tick in found if not chart.counted or tick == int(tick)]


def _fitting(label: str, room: float) -> str:
    most = int(room / 5.6)
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _series(series: Series, across: Axis, up: Axis) -> list[Element]:
    colour = _colour(series)
    if series.kind == "bars":
        return _bars(series, across, up, colour)
    if series.kind == "dots":
        dots = [
            element("circle", cx=_r(across.place(x)), cy=_r(up.place(y)), r=2.6, class_=f"dot {colour}")
            for x, y in series.points
            if across.inside(x) and up.inside(y)
        ]
        return [element("g", *dots)]
    found, pieces = [], _pieces(series, across, up)
    for piece in pieces:
        points = " ".join(f"{x:g},{y:g}" for x, y in piece)
        found.append(element("polyline", points=points, class_=f"{series.kind} {colour}"))
    single = [piece[0] for piece in pieces if len(piece) == 1]
    marked = [point for piece in pieces for point in piece] if series.kind == "line" and len(series.x) <= 30 else single
    return [*found, *(element("circle", cx=x, cy=y, r=2.8, class_=f"point {colour}") for x, y in marked)]


def _bars(series: Series, across: Axis, up: Axis, colour: str) -> list[Element]:
    """Return a rectangle for each bar."""
    base, found = up.place(max(0.0, up.low)), []
    for x, y in series.points:
        left, right, top = across.place(x), across.place(x + series.width), up.place(y)
        found.append(
            element(
                "rect",
                x=_r(left),
                width=_r(max(0.5, right - left - 0.6)),
                y=_r(min(top, base)),
                height=_r(abs(base - top)),
                class_=f"bar {colour}",
            )
        )
    return [element("g", *found)]


def _pieces(series: Series, across: Axis, up: Axis) -> list[list[tuple[float, float]]]:
    """Return the places of a line, divided where a number is missing."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(series.x, series.y, strict=True):
        place = across.place(x), up.place(y)
        if all(map(math.isfinite, place)):
            pieces[-1].append((_r(place[0]), _r(max(-1000.0, min(1000.0, place[1])))))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _mark(chart: Chart, across: Axis, up: Axis) -> list[Element]:
    """Return the line and the star of the place of interest."""
    mark = chart.mark
    if mark is None or not math.isfinite(x := across.place(mark.x)):
        return []
    found = [element("line", x1=_r(x), x2=_r(x), y1=up.start, y2=up.end, class_="mark")]
    if mark.y is not None and math.isfinite(y := up.place(mark.y)):
        turns = [(math.pi * corner / 5, 7.5 if corner % 2 == 0 else 3.2) for corner in range(10)]
        points = " ".join(f"{x + r * math.sin(turn):.1f},{y - r * math.cos(turn):.1f}" for turn, r in turns)
        found.append(element("path", d=f"M{points.replace(' ', 'L')}Z", class_="star"))
    return found


def _stops(chart: Chart, shown: Sequence[Series], across: Axis, up: Axis) -> list[list[object]]:
    """Return the places at which a mouse shows numbers: x, y, and a list of [class, place, text], with a header first."""
    places: dict[float, list[tuple[Series, int]]] = {}
    order: list[tuple[float, Series, int]] = []
    for series in shown:
        order += [
            (x, series, index)
            for index, (x, y) in enumerate(zip(series.x, series.y, strict=True))
            if math.isfinite(x) and math.isfinite(y) and (chart.nearest or series.name or series.kind != "thin")
        ]
    if chart.nearest:
        dots = [entry for entry in order if entry[1].kind in ("dots", "bars", "line")]
        every = max(1, math.ceil(len(dots) / (3 * MOST_STOPS)))
        return [_stop(chart, x, [(series, index)], across, up) for x, series, index in dots[::every]]
    for x, series, index in order:
        centre = x + series.width / 2 if series.kind == "bars" else x
        places.setdefault(round(centre, 9), []).append((series, index))
    every = max(1, math.ceil(len(places) / MOST_STOPS))
    return [_stop(chart, x, places[x], across, up) for x in sorted(places)[::every]]


def _stop(chart: Chart, x: float, found: Sequence[tuple[Series, int]], across: Axis, up: Axis) -> list[object]:
    word = chart.x_word or chart.x_label
    header = chart.x_texts.get(x, f"{word} {phrases.epochs(x) if chart.x_word else written(round(x, 6))}")
    lines: list[list[object]] = []
    for series, index in found:
        y = series.y[index]
        number = series.texts[index] if series.texts else phrases.number(y)
        label = f"{series.name}: {number}" if series.name and not (chart.nearest and series.texts) else number
        lines.append([_colour(series), _r(max(up.end, min(up.start, up.place(y)))), table.printable(label)])
    return [_r(across.place(x)), table.printable(header) if not (chart.nearest and found[0][0].texts) else "", lines]


def _r(value: float) -> float:
    return round(value, 1)
