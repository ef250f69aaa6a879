"""Draw rows as a model sees them in training. matplotlib is imported inside the functions."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainctl.report.canvas import figure as _canvas
from trainctl.report.chart import COLOURS
from trainctl.report.figure import colour_bar, cut, headline, legend, plain, style, write
from trainctl.report.overview_plots import tiled
from trainctl.store.runpath import AnyPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AS_READ = "scaled value, as the model reads it"
ACROSS = 6  # images in a line
LONGEST_CAPTION, LONGEST_TEXT, LONGEST_CELL = 17, 110, 11  # characters


def images(pictures: Sequence[np.ndarray], captions: Sequence[str], title: str, about: str, path: AnyPath) -> AnyPath:
    """Draw images ``(H, W)`` or ``(H, W, 3)`` in 0..1 side by side, each with a caption below it.

    Raises:
        StorageError: If the file cannot be written.
    """
    across = min(ACROSS, len(pictures))
    lines = math.ceil(len(pictures) / across)
    stack = np.stack([image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in pictures])
    height, width = stack.shape[1:3]
    lines_below = max(caption.count("\n") + 1 for caption in captions)
    below = math.ceil((0.1 + 0.14 * lines_below) * max(height, width))  # room for a caption
    framed = np.ones((len(stack), height + below, width, 3))
    framed[:, :height] = stack
    with style():
        side = 1.35
        figure = _canvas(max(4.2, side * across + 0.4), side * lines * (height + below) / max(height, width) + 0.75)
        axes = figure.subplots()  # one for all: a grid of axes takes seconds
        axes.set_axis_off()
        room = max(1, round(max(framed.shape[1:3]) / 10))
        axes.imshow(tiled(framed, across, 1.0), interpolation="nearest", vmin=0, vmax=1)
        for place, caption in enumerate(captions):
            left, top = place % across * (width + room), place // across * (height + below + room)
            axes.text(
                left - 0.5, top + height, "\n".join(cut(line, LONGEST_CAPTION) for line in caption.split("\n")),
                fontsize=8, va="top", parse_math=False,
            )  # fmt: skip
        headline(figure, title, about)
        return write(figure, path)


def table(
    names: Sequence[str],
    scaled: np.ndarray,
    cells: Sequence[Sequence[str]],
    targets: Sequence[str],
    title: str,
    about: str,
    path: AnyPath,
    scale: str = AS_READ,
) -> AnyPath:
    """Draw rows of a table: the values as text, and in colour what the model reads.

    Args:
        names: Of the columns.
        scaled: What the model reads of each column ``(N, F)``.
        cells: The values in their units, a text for each row and column.
        targets: The target of each row.
        title: Of the picture.
        about: Run, data and split.
        path: The PNG file.
        scale: What the colours are.

    Raises:
        StorageError: If the file cannot be written.
    """
    limit = max(3.0, float(np.nanpercentile(np.abs(scaled), 98))) if np.isfinite(scaled).any() else 1.0
    with style():
        figure = _canvas(max(5.5, 2.6 + 0.82 * len(names)), 1.9 + 0.27 * len(cells))
        axes = figure.subplots()
        image = axes.imshow(scaled, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        for row, line in enumerate(cells):
            for column, text in enumerate(line):
                dark = abs(scaled[row, column]) > 0.6 * limit
                axes.text(
                    column, row, cut(text, LONGEST_CELL), ha="center", va="center", fontsize=7.5, parse_math=False,
                    color="white" if dark else "black",
                )  # fmt: skip
        axes.set_xticks(
            range(len(names)), [cut(name, 18) for name in names], rotation=35, ha="left", rotation_mode="anchor",
            fontsize=8, parse_math=False,
        )  # fmt: skip
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(cells)), [cut(target, 26) for target in targets], fontsize=8, parse_math=False)
        axes.grid(False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        colour_bar(figure, image, axes, scale)
        headline(figure, title, about)
        return write(figure, path)


def texts(rows: Sequence[tuple[str, str]], title: str, about: str, path: AnyPath) -> AnyPath:
    """Draw texts, each in a line behind its target.

    Raises:
        StorageError: If the file cannot be written.
    """
    longest = max((len(cut(target, 22)) for target, _ in rows), default=1)
    with style():
        figure = _canvas(9.5, 1.1 + 0.27 * len(rows))
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(len(rows), 0)
        for place, (target, text) in enumerate(rows):
            axes.text(0, place + 0.5, cut(target, 22), fontsize=8.5, va="center", weight="bold", parse_math=False)
            start = 0.02 + 0.0088 * longest
            most = int((1 - start) * LONGEST_TEXT)
            axes.text(start, place + 0.5, cut(text, most), fontsize=8.5, va="center", parse_math=False)
        headline(figure, title, about)
        return write(figure, path)


def series(
    windows: np.ndarray,
    targets: np.ndarray | None,
    names: Sequence[str],
    captions: Sequence[str],
    title: str,
    about: str,
    path: AnyPath,
    scale: str = AS_READ,
) -> AnyPath:
    """Draw windows of a series, in scaled units, and behind each what is to be predicted.

    Args:
        windows: ``(N, W, F)``.
        targets: The next steps of the same columns ``(N, H, F)``; None if the targets are something else.
        names: Of the columns.
        captions: One for each window.
        title: Of the picture.
        about: Run, data and split.
        path: The PNG file.
        scale: What the values are.

    Raises:
        StorageError: If the file cannot be written.
    """
    across = min(3, len(windows))
    lines = math.ceil(len(windows) / across)
    with style():
        figure = _canvas(3.1 * across + 0.6, 2.1 * lines + 1.1)
        panels = figure.subplots(lines, across, squeeze=False, sharex=True, sharey=True)
        for axes in panels.flat[len(windows) :]:
            axes.set_axis_off()
        for place, (axes, window) in enumerate(zip(panels.flat, windows, strict=False)):
            _window(axes, window, None if targets is None else targets[place], names)
            axes.set_title(cut(captions[place], 40), fontsize=8.5, fontweight="normal", parse_math=False)
        for axes in panels[-1]:
            axes.set_xlabel("step of the window", fontsize=9)
        figure.supylabel(scale, fontsize=9)
        headline(figure, title, about)
        legend(figure, list(panels.flat))
        return write(figure, path)


def _window(axes: "Axes", window: np.ndarray, following: np.ndarray | None, names: Sequence[str]) -> None:
    for column, name in enumerate(names):
        colour: Any = COLOURS[column % len(COLOURS)]
        axes.plot(range(len(window)), window[:, column], color=colour, linewidth=1.3, label=plain(cut(name)))
        if following is not None:
            places = range(len(window), len(window) + len(following))
            axes.plot(places, following[:, column], "o", color=colour, markersize=4, label=f"to predict: {cut(name)}")
    axes.grid(True)
    axes.tick_params(labelsize=8)
