"""Draw the attributions of rows: over images, as bars of columns, on the tokens of a text, over the steps of a series.

matplotlib is imported inside the functions, and pyplot never. Red speaks for what is explained, blue against it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainctl.report.canvas import figure as _canvas
from trainctl.report.figure import LONGEST_LABEL, colour_bar, cut, headline, names_at_bars, style, write
from trainctl.store.runpath import AnyPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOR, AGAINST = "#c44e52", "#4c72b0"
COLOURS = "RdBu_r"
MOST_BARS = 12  # columns of a row that have a bar of their own
MOST_STEPS_NAMED = 24
MOST_TOKENS = 150  # of a text that are drawn
LONGEST_TOKEN = 24  # characters
CLIPPED = 99.5  # percentile of the attributions of an image that has the full colour


@dataclass(frozen=True)
class Drawn:
    """A row to draw.

    Args:
        title: The row and what is explained, in words.
        values: Attributions: ``(H, W)`` of an image, ``(F,)`` of a table, ``(T, F)`` of a series, ``(T,)`` of a text.
        names: Of the columns with their values, or the tokens; empty for an image.
        picture: ``(H, W)`` or ``(H, W, 3)`` in 0..1, of an image; None otherwise.
    """

    title: str
    values: np.ndarray
    names: tuple[str, ...] = ()
    picture: np.ndarray | None = None


def rows(drawn: Sequence[Drawn], kind: str, label: str, title: str, about: str, path: AnyPath) -> AnyPath:
    """Draw the attributions of rows in one picture.

    Args:
        drawn: The rows.
        kind: ``image``, ``table``, ``series`` or ``text``.
        label: What an attribution is, with its unit.
        title: Of the picture.
        about: The run and the rows, for the line below the title.
        path: The PNG file.

    Raises:
        StorageError: If it cannot be written.
    """
    draw = {"image": _images, "table": _tables, "series": _series, "text": _texts}[kind]
    with style():
        figure = draw(drawn, label)
        headline(figure, title, about)
        return write(figure, path)


def columns(names: Sequence[str], means: Sequence[float], label: str, title: str, about: str, path: AnyPath) -> AnyPath:
    """Draw the mean size of the attributions of each column over many rows, the largest first.

    Raises:
        StorageError: If it cannot be written.
    """
    order = np.argsort(-np.asarray(means), kind="stable")[: 2 * MOST_BARS]
    with style():
        figure = _canvas(7.0, 1.4 + 0.3 * len(order))
        axes = figure.subplots()
        axes.barh(range(len(order)), np.asarray(means)[order], color=AGAINST, height=0.7)
        names_at_bars(axes, [cut(names[index]) for index in order])
        axes.set_xlabel(label, fontsize=9, parse_math=False)
        headline(figure, title, about)
        return write(figure, path)


def mean_image(values: np.ndarray, label: str, title: str, about: str, path: AnyPath) -> AnyPath:
    """Draw the mean size of the attributions of each pixel over many images ``(H, W)``.

    Raises:
        StorageError: If it cannot be written.
    """
    with style():
        figure = _canvas(5.2, 4.6)
        axes = figure.subplots()
        image = axes.imshow(values, cmap="Reds", vmin=0, interpolation="nearest")
        _bare(axes)
        colour_bar(figure, image, axes, label)
        headline(figure, title, about)
        return write(figure, path)


def _with_value(text: str) -> str:
    """Return a column with its value, of which only the name is cut.

    >>> _with_value("the length of the leaf in the second year = 3.5")
    'the length of the leaf i… = 3.5'
    """
    name, equals, value = text.rpartition(" = ")
    return f"{cut(name, max(10, LONGEST_LABEL - len(value) - 2))}{equals}{cut(value)}" if equals else cut(text)


def _title(axes: "Axes", text: str, most: int = 60) -> None:
    axes.set_title(cut(text, most), fontsize=9.5, fontweight="normal", color="#333333", parse_math=False)


def _bare(axes: "Axes") -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _limit(values: np.ndarray, clipped: float = 100.0) -> float:
    """Return the attribution that has the full colour."""
    sizes = np.abs(values)
    return float(np.percentile(sizes, clipped)) or float(sizes.max()) or 1.0


def _signed(drawn: Sequence[Drawn]) -> bool:
    return any((row.values < 0).any() for row in drawn)


def _images(drawn: Sequence[Drawn], label: str) -> Any:
    """Draw each image, and next to it the attributions over a pale copy of it."""
    pairs = min(3, len(drawn)) if len(drawn) != 4 else 2
    lines = math.ceil(len(drawn) / pairs)
    figure = _canvas(4.6 * pairs + 0.3, 2.45 * lines + 0.6)
    panels = np.atleast_1d(figure.subplots(lines, 2 * pairs, squeeze=False)).reshape(-1, 2)
    for axes in panels.flat:
        _bare(axes)
    for (left, right), row in zip(panels, drawn, strict=False):
        assert row.picture is not None
        grey = row.picture if row.picture.ndim == 2 else row.picture.mean(2)
        shown: dict[str, Any] = {"interpolation": "nearest"}
        left.imshow(row.picture, cmap="gray", vmin=0, vmax=1, **shown)
        _title(left, row.title)
        limit = _limit(row.values, CLIPPED)
        right.imshow(0.78 + 0.22 * grey, cmap="gray", vmin=0, vmax=1, **shown)
        strength = np.clip(np.abs(row.values) / limit, 0, 1) ** 0.7
        over = right.imshow(row.values, cmap=COLOURS, vmin=-limit, vmax=limit, alpha=strength, **shown)
        bar = figure.colorbar(_opaque(over), ax=right, fraction=0.046, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7)
        if not _signed(drawn):
            bar.ax.set_ylim(0, limit)
    figure.supxlabel(f"colour: {label}", fontsize=9, color="#444444", parse_math=False)
    return figure


def _opaque(image: Any) -> Any:
    """Return what a colour bar is drawn from: the colours without the transparency of the image."""
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(image.norm, image.cmap)


def _tables(drawn: Sequence[Drawn], label: str) -> Any:
    """Draw the largest attributions of each row as bars, and the sum of all others as one."""
    across = min(2, len(drawn))
    lines = math.ceil(len(drawn) / across)
    bars = min(MOST_BARS + 1, max(len(row.values) for row in drawn))
    figure = _canvas(6.0 * across + 0.4, lines * (0.85 + 0.25 * bars) + 0.5)
    panels = figure.subplots(lines, across, squeeze=False).flat
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    for axes, row in zip(panels, drawn, strict=False):
        order = np.argsort(-np.abs(row.values), kind="stable")
        many = len(order) > MOST_BARS + 1
        shown = order[:MOST_BARS] if many else order
        sizes = [float(row.values[index]) for index in shown]
        names = [_with_value(row.names[index]) for index in shown]
        if many:
            rest = order[MOST_BARS:]
            sizes.append(float(row.values[rest].sum()))
            names.append(f"sum of {len(rest)} others")
        axes.barh(range(len(sizes)), sizes, color=[FOR if size >= 0 else AGAINST for size in sizes], height=0.7)
        axes.axvline(0, color="#888888", linewidth=0.8)
        names_at_bars(axes, names)
        axes.set_xlabel(label, fontsize=9, parse_math=False)
        _title(axes, row.title, 46)  # it begins where the names end
    return figure


def _series(drawn: Sequence[Drawn], label: str) -> Any:
    """Draw the attributions of each series as colours: steps from left to right, columns from top to bottom."""
    across = min(2, len(drawn))
    lines = math.ceil(len(drawn) / across)
    columns = drawn[0].values.shape[1]
    figure = _canvas(6.0 * across + 0.4, lines * (1.3 + min(4.0, 0.25 * columns)) + 0.5)
    panels = figure.subplots(lines, across, squeeze=False).flat
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    signed = _signed(drawn)
    for axes, row in zip(panels, drawn, strict=False):
        limit = _limit(row.values)
        image = axes.imshow(
            row.values.T, cmap=COLOURS if signed else "Reds", vmin=-limit if signed else 0, vmax=limit, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        every = max(1, math.ceil(columns / MOST_STEPS_NAMED))
        axes.set_yticks(
            range(0, columns, every), [cut(name) for name in row.names[::every]], fontsize=8, parse_math=False
        )
        axes.set_xlabel("step of the series", fontsize=9)
        axes.grid(False)
        _title(axes, row.title)
        figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02).outline.set_visible(False)
    figure.supxlabel(f"colour: {label}", fontsize=9, color="#444444", parse_math=False)
    return figure


def _texts(drawn: Sequence[Drawn], label: str) -> Any:
    """Draw each text, its tokens on a background whose colour is their attribution."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    limit = _limit(np.concatenate([row.values[: len(row.names)] for row in drawn] or [np.zeros(1)]))
    signed = _signed(drawn)
    norm, colours = Normalize(-limit if signed else 0, limit), colormaps[COLOURS if signed else "Reds"]
    width = 10.0
    blocks = [_wrapped(row, width - 0.7) for row in drawn]
    height = sum(0.42 + 0.31 * len(block) for block in blocks) + 1.35
    figure = _canvas(width, height)
    figure.set_layout_engine("none")
    top = height - 0.7
    for row, block in zip(drawn, blocks, strict=True):
        _write(figure, 0.3, top, cut(row.title, 100), size=9.5, color="#333333", weight="bold")
        top -= 0.3
        for line in block:
            for left, place, token in line:
                value = float(row.values[place])
                colour = colours(norm(value))
                dark = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] < 0.5
                _write(
                    figure, 0.35 + left, top, token, size=10, family="DejaVu Sans Mono",
                    color="white" if dark else "black",
                    bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.6},
                )  # fmt: skip
            top -= 0.31
        top -= 0.12
    axes = figure.add_axes((0.3, 0.42 / height, 0.4, 0.13 / height))
    bar = figure.colorbar(ScalarMappable(norm, colours), cax=axes, orientation="horizontal")
    bar.set_label(label, fontsize=9, parse_math=False)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    return figure


def _write(figure: Any, left: float, top: float, text: str, *, size: float, **settings: Any) -> None:
    """Write text at a distance from the left and the bottom [inches]."""
    width, height = figure.get_size_inches()
    figure.text(left / width, top / height, text, fontsize=size, va="center", parse_math=False, **settings)


def _wrapped(row: Drawn, width: float) -> list[list[tuple[float, int, str]]]:
    """Return the lines of a text: for each token its distance from the left [inches], its place and how it is shown."""
    from trainctl.report.layout import width as columns_of

    character = 10 * 0.602 / 72  # inches: DejaVu Sans Mono of 10 points
    lines: list[list[tuple[float, int, str]]] = [[]]
    left = 0.0
    for place, name in enumerate(row.names[:MOST_TOKENS]):
        token = cut(name, LONGEST_TOKEN) or "␣"
        needed = (columns_of(token)) * character + 0.09
        if left + needed > width and lines[-1]:
            lines.append([])
            left = 0.0
        lines[-1].append((left, place, token))
        left += needed
    return lines
