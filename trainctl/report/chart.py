"""Describe a chart once, for both of its forms: a PNG file, and a drawing in an HTML page. Imports no torch, no matplotlib."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from trainctl.report import phrases

Kind = Literal["line", "thin", "dashed", "dots", "bars"]
GREY = -1  # the colour of what is only there to compare with
TRAIN, VAL, TEST, RED = 0, 1, 2, 3  # places in the palette
COLOURS = (
    "#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#64b5cd", "#ccb974", "#6b6ecf",
)  # fmt: skip


@dataclass(frozen=True)
class Series:
    """Numbers that belong together.

    Args:
        name: What they are called in the legend; empty to leave them out of it.
        x: Where they are.
        y: The numbers; NaN leaves a gap.
        kind: How they are drawn; ``bars`` begin at ``x``.
        colour: The place in the palette, or ``GREY``.
        width: Of a bar, in units of x.
        texts: What to show for each of them instead of the number; empty to show the number.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Kind = "line"
    colour: int = 0
    width: float = 0.0
    texts: Sequence[str] = ()

    @property
    def shown(self) -> str:
        """The colour as in PNG files."""
        return "#888888" if self.colour == GREY else COLOURS[self.colour % len(COLOURS)]

    @property
    def points(self) -> list[tuple[float, float]]:
        """The finite points."""
        return [(x, y) for x, y in zip(self.x, self.y, strict=True) if math.isfinite(x) and math.isfinite(y)]


@dataclass(frozen=True)
class Mark:
    """A place of interest: a vertical line, with a star on it if there is a number.

    Args:
        x: Where it is.
        y: The number; None for a line alone.
        label: What it is.
    """

    x: float
    y: float | None
    label: str


@dataclass(frozen=True)
class Chart:
    """A chart with one pair of axes.

    Args:
        name: Name of the PNG file, without its ending; the page uses it, too.
        title: What is drawn, in a few words.
        about: Run, data and split, in a line below the title.
        x_label: Of the horizontal axis, with its unit.
        y_label: Of the vertical axis, with its unit.
        series: What is drawn, in this order.
        mark: A place of interest.
        log_x: Whether the horizontal axis is logarithmic.
        log_y: Whether the vertical axis is logarithmic.
        bottom: The lowest number of the vertical axis; None to derive it.
        top: The highest number of the vertical axis; None to derive it.
        square: Whether both axes have one scale.
        nearest: Whether the point nearest to the mouse is shown, and not what is above and below it.
        x_word: What a place on the horizontal axis is called, such as ``epoch``; empty for the label.
        x_texts: What to show for places on the horizontal axis instead of the number, such as a date.
        note: A sentence below the chart.
        dates: Whether places on the horizontal axis are days since 0001-01-01, to be written as dates.
        last_first: Whether the legend of a page begins with the last series, which is drawn over the others.
    """

    name: str
    title: str
    about: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    mark: Mark | None = None
    log_x: bool = False
    log_y: bool = False
    bottom: float | None = None
    top: float | None = None
    square: bool = False
    nearest: bool = False
    x_word: str = ""
    x_texts: dict[float, str] = field(default_factory=dict)
    note: str = ""
    dates: bool = False
    last_first: bool = False

    @property
    def has_bars(self) -> bool:
        """Whether the vertical axis counts something."""
        return any(series.kind == "bars" for series in self.series)

    @property
    def only_place(self) -> float | None:
        """The only place on a horizontal axis that counts something; None if there are more."""
        places = {x for series in self.series for x, _ in series.points} if self.x_word else set()
        return places.pop() if len(places) == 1 else None

    @property
    def drawable(self) -> bool:
        """Whether there is a finite number to draw."""
        return any(series.points for series in self.series)

    @property
    def counted(self) -> bool:
        """Whether the horizontal axis counts something, such as epochs or steps: only whole numbers are written."""
        places = [x for series in self.series for x, _ in series.points]
        whole = bool(self.x_word) and (max(places, default=0.0) >= 5 or all(x == int(x) for x in places))
        return whole and max(places, default=0.0) - min(places, default=0.0) >= 1

    def x_range(self) -> tuple[float, float]:
        """Return the ends of the horizontal axis."""
        found = [x for series in self.series for x, _ in series.points]
        found += [x + series.width for series in self.series if series.kind == "bars" for x, _ in series.points]
        if self.square:
            return self._square()
        return padded(found, log=self.log_x, share=0.02)

    def y_range(self) -> tuple[float, float]:
        """Return the ends of the vertical axis."""
        if self.square:
            return self._square()
        found = [y for series in self.series for _, y in series.points]
        found += [0.0] * any(series.kind == "bars" for series in self.series)
        found += [self.mark.y] if self.mark and self.mark.y is not None else []
        low, high = padded(found, log=self.log_y, share=0.05)
        return (low if self.bottom is None else self.bottom, high if self.top is None else self.top)

    def _square(self) -> tuple[float, float]:
        found = [value for series in self.series for point in series.points for value in point]
        low, high = padded(found, log=False, share=0.03)
        return (low if self.bottom is None else self.bottom, high if self.top is None else self.top)


def padded(values: Sequence[float], *, log: bool, share: float) -> tuple[float, float]:
    """Return a range that contains all values, and some space around them.

    >>> (
    ...     padded([0.0, 1.0], log=False, share=0.1),
    ...     padded([1.0, 100.0], log=True, share=0.5),
    ...     padded([], log=False, share=0.1),
    ... )
    ((-0.1, 1.1), (0.1, 1000.0), (0.0, 1.0))
    """
    if log:
        values = [math.log10(value) for value in values if value > 0]
    if not values:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = min(values), max(values)
    space = share * (high - low) or abs(high) * 0.1 or 0.5
    low, high = low - space, high + space
    return (10**low, 10**high) if log else (low, high)


def wide(values: Sequence[float]) -> bool:
    """Return whether a logarithmic axis suits values, see :func:`trainctl.report.phrases.is_wide`."""
    return phrases.is_wide(values)


def thinned(series: Series, most: int) -> Series:
    """Return at most so many points of a long series, evenly spaced, the last one included.

    >>> thinned(Series("", range(10), range(10)), 4).x
    [0, 3, 6, 9]
    """
    if len(series.x) <= most:
        return series
    every = math.ceil((len(series.x) - 1) / (most - 1))
    kept = [*range(0, len(series.x) - 1, every), len(series.x) - 1]
    texts = [series.texts[index] for index in kept] if series.texts else ()
    return Series(
        series.name, [series.x[index] for index in kept], [series.y[index] for index in kept],
        series.kind, series.colour, series.width, texts,
    )  # fmt: skip
