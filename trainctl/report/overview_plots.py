"""Draw what a run relies on, where it errs, and how sure it is. matplotlib is imported inside the functions."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainctl.report.canvas import figure as _canvas
from trainctl.report.figure import colour_bar, cut, headline, legend, names_at_bars, plain, style, write
from trainctl.store.runpath import AnyPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RIGHT, WRONG, PLAIN, GREY = "#55a868", "#c44e52", "#4c72b0", "#888888"
MOST_BARS = 30
MOST_CLASSES = 20  # that have a colour of their own
MOST_WEIGHTS = 40  # columns of the first layer that are drawn
MOST_UNITS = 64  # of the first layer that are drawn
MOST_POINTS = 5000


Bin = tuple[int, float, float]  # the rows with similar values: how many, the mean of what is said, of what is true


def importance(
    names: Sequence[str],
    means: Sequence[float],
    spreads: Sequence[float],
    label: str,
    title: str,
    path: AnyPath,
    about: str = "",
) -> AnyPath:
    """Draw the importance of each column, the largest first, with the spread between repetitions.

    Raises:
        StorageError: If the file cannot be written.
    """
    order = np.argsort(-np.asarray(means), kind="stable")[:MOST_BARS]
    with style():
        figure = _canvas(7.0, 1.4 + 0.3 * len(order))
        axes = figure.subplots()
        axes.barh(
            range(len(order)), np.asarray(means)[order], xerr=np.asarray(spreads)[order], height=0.7, color=PLAIN,
            error_kw={"ecolor": "#333333", "elinewidth": 1.2, "capsize": 2.5},
        )  # fmt: skip
        axes.axvline(0, color=GREY, linewidth=0.8)
        names_at_bars(axes, [names[index] for index in order])
        axes.set_xlabel(f"{label}; line: standard deviation", fontsize=9, parse_math=False)
        headline(figure, title if len(order) == len(names) else f"{title}, {len(order)} of {len(names)} columns", about)
        return write(figure, path)


def importance_of_squares(
    means: Sequence[float],
    squares: Sequence[tuple[int, int, int, int]],
    label: str,
    title: str,
    path: AnyPath,
    about: str = "",
) -> AnyPath:
    """Draw the importance of each square of an image as a colour.

    Args:
        means: Importance of each square.
        squares: Top, left, bottom and right of each [pixels].
        label: What an importance is.
        title: Of the picture.
        path: The PNG file.
        about: Run, data and split, for the line below the title.

    Raises:
        StorageError: If the file cannot be written.
    """
    values = np.zeros((max(square[2] for square in squares), max(square[3] for square in squares)))
    for mean, (top, left, bottom, right) in zip(means, squares, strict=True):
        values[top:bottom, left:right] = mean
    limit = max(float(np.abs(values).max()), 1e-12)
    with style():
        figure = _canvas(5.4, 4.8)
        axes = figure.subplots()
        image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_xlabel("pixel")
        axes.set_ylabel("pixel")
        axes.grid(False)
        colour_bar(figure, image, axes, label)
        headline(figure, title, about)
        return write(figure, path)


def filters(weights: np.ndarray, title: str, path: AnyPath, about: str = "") -> AnyPath:
    """Draw filters ``(N, C, H, W)``: in colour if there are three channels, otherwise their mean over the channels.

    Raises:
        StorageError: If the file cannot be written.
    """
    limit = max(float(np.abs(weights).max()), 1e-12)
    coloured = weights.shape[1] == 3
    across = min(8, len(weights))
    lines = math.ceil(len(weights) / across)
    with style():
        figure = _canvas(max(3.6, 0.95 * across + (0.3 if coloured else 1.1)), 0.95 * lines + 0.9)
        axes = figure.subplots()  # one for all: a grid of axes takes seconds
        axes.set_axis_off()
        if coloured:
            axes.imshow(tiled((weights / limit + 1).transpose(0, 2, 3, 1) / 2, across, 1.0), interpolation="nearest")
        else:
            tiles = tiled(weights.mean(1)[..., None], across, np.nan)[..., 0]
            image = axes.imshow(tiles, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            colour_bar(figure, image, axes, "weight" if weights.shape[1] == 1 else "weight (mean of the channels)")
        headline(figure, title, about)
        return write(figure, path)


def tiled(images: np.ndarray, across: int, gap: float) -> np.ndarray:
    """Return images ``(N, H, W, C)`` side by side in lines, as one image with gaps of a tenth of a side between them."""
    count, height, width, channels = images.shape
    room = max(1, round(max(height, width) / 10))
    lines = math.ceil(count / across)
    whole = np.full((lines * (height + room) - room, across * (width + room) - room, channels), gap)
    for place, image in enumerate(images):
        top, left = place // across * (height + room), place % across * (width + room)
        whole[top : top + height, left : left + width] = image
    return whole


def weights(matrix: np.ndarray, names: Sequence[str], title: str, path: AnyPath, about: str = "") -> AnyPath:
    """Draw the weights of a dense layer ``(units, columns)``: the columns and units whose weights are largest.

    Raises:
        StorageError: If the file cannot be written.
    """
    largest = np.sort(np.argsort(-np.square(matrix).sum(0), kind="stable")[:MOST_WEIGHTS])
    units = np.argsort(-np.square(matrix).sum(1), kind="stable")[:MOST_UNITS]
    shown = matrix[np.ix_(units, largest)].T
    limit = max(float(np.abs(shown).max()), 1e-12)
    with style():
        figure = _canvas(8.0, 1.6 + 0.24 * len(shown))
        axes = figure.subplots()
        image = axes.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        axes.set_yticks(range(len(shown)), [cut(names[index]) for index in largest], fontsize=8.5, parse_math=False)
        few = f", {len(units)} of {len(matrix)}" if len(units) < len(matrix) else ""
        axes.set_xlabel(f"units of the first layer{few}, the strongest first", fontsize=9)
        axes.set_xticks([])
        axes.grid(False)
        colour_bar(figure, image, axes, "weight")
        headline(
            figure, title if len(largest) == len(names) else f"{title}, {len(largest)} of {len(names)} columns", about
        )
        return write(figure, path)


def embedding_of_classes(
    places: np.ndarray,
    axis_names: tuple[str, str],
    classes: np.ndarray,
    names: Sequence[str],
    title: str,
    path: AnyPath,
    about: str = "",
) -> AnyPath:
    """Draw codes in two dimensions, coloured by their true class.

    Raises:
        StorageError: If the file cannot be written.
    """
    with style():
        from matplotlib import colormaps

        figure, axes = _plane(axis_names, title, about)
        order = np.argsort(-np.bincount(classes, minlength=len(names)), kind="stable")[: MOST_CLASSES - 1]
        if len(names) <= MOST_CLASSES:
            order = np.arange(len(names))
        palette = colormaps["tab10" if len(order) <= 10 else "tab20"]
        rest = ~np.isin(classes, order)
        dots: dict[str, Any] = {"s": 12, "alpha": 0.75, "linewidths": 0}
        if rest.any():
            axes.scatter(
                places[rest, 0],
                places[rest, 1],
                color="#bbbbbb",
                label=f"{len(names) - len(order)} other classes",
                **dots,
            )
        for place, index in enumerate(order):
            own = places[classes == index]
            axes.scatter(
                own[:, 0], own[:, 1], color=[palette(place % palette.N)], label=plain(cut(names[index], 24)), **dots
            )
        _safe(axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, markerscale=1.8))
        return write(figure, path)


def embedding_of_numbers(
    places: np.ndarray,
    axis_names: tuple[str, str],
    values: np.ndarray,
    label: str,
    title: str,
    path: AnyPath,
    about: str = "",
) -> AnyPath:
    """Draw codes in two dimensions, coloured by a number of each row.

    Raises:
        StorageError: If the file cannot be written.
    """
    with style():
        figure, axes = _plane(axis_names, title, about)
        drawn = axes.scatter(places[:, 0], places[:, 1], c=values, cmap="viridis", s=12, alpha=0.8, linewidths=0)
        colour_bar(figure, drawn, axes, cut(label, 40))
        return write(figure, path)


def calibration_of_classes(
    bins: Sequence[Bin], confidences: np.ndarray, right: np.ndarray, error: float, path: AnyPath, about: str = ""
) -> AnyPath:
    """Draw the accuracy over the confidence, and how many rows have which confidence.

    Raises:
        StorageError: If the file cannot be written.
    """
    with style():
        figure = _canvas(5.6, 6.0)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        above.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="perfect")
        rows, said, true = (list(kind) for kind in zip(*bins, strict=True))
        sizes = 18 + 160 * np.asarray(rows) / max(rows)
        above.vlines(said, np.minimum(said, true), np.maximum(said, true), color=WRONG, alpha=0.5, linewidth=2)
        above.scatter(said, true, s=sizes, color=PLAIN, zorder=3, clip_on=False, label="rows of similar confidence")
        above.set_ylabel("fraction that is right")
        above.set_ylim(-0.02, 1.04)
        above.grid(True)
        below.hist([confidences[right], confidences[~right]], bins=np.linspace(0, 1, 31), stacked=True,
                   color=[RIGHT, WRONG], label=["right", "wrong"])  # fmt: skip
        below.set_xlabel("confidence: probability of the predicted class")
        below.set_ylabel("rows")
        below.set_xlim(0, 1)
        legend(figure, (above, below))  # below them: points may be anywhere
        headline(figure, f"Calibration: expected calibration error {error:.4f}", about)
        return write(figure, path)


def calibration_of_numbers(
    panels: Sequence[tuple[str, np.ndarray, np.ndarray, Sequence[Bin], float]], path: AnyPath, about: str = ""
) -> AnyPath:
    """Draw the true over the predicted numbers of each target, and their means in intervals of the prediction.

    Args:
        panels: Of each target its name, the predicted and true numbers, the intervals and the calibration error.
        path: The PNG file.
        about: Run, data and split, for the line below the title.

    Raises:
        StorageError: If the file cannot be written.
    """
    across = min(2, len(panels))
    lines = math.ceil(len(panels) / across)
    with style():
        figure = _canvas(5.2 * across + 0.2, 4.6 * lines + 0.4)
        drawn = figure.subplots(lines, across, squeeze=False).flat
        for axes in drawn[len(panels) :]:
            axes.set_visible(False)
        for axes, (name, said, true, bins, error) in zip(drawn, panels, strict=False):
            every = max(1, math.ceil(len(said) / MOST_POINTS))
            ends = [min(said.min(), true.min()), max(said.max(), true.max())]
            axes.plot(ends, ends, color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="perfect")
            axes.scatter(said[::every], true[::every], s=9, color=PLAIN, alpha=0.35, linewidths=0, label="rows")
            axes.plot([said for _, said, _ in bins], [true for *_, true in bins], "o-", color=WRONG, markersize=5,
                      label="means of similar predictions")  # fmt: skip
            axes.set_xlabel(f"predicted {cut(name)}", parse_math=False)
            axes.set_ylabel(f"true {cut(name)}", parse_math=False)
            axes.set_title(f"expected calibration error {error:.4g}", fontsize=9.5, fontweight="normal")
            axes.grid(True)
            axes.legend(fontsize=8.5)
        headline(figure, "Calibration", about)
        return write(figure, path)


def _plane(axis_names: tuple[str, str], title: str, about: str) -> tuple[Any, "Axes"]:
    figure = _canvas(7.4, 5.6)
    axes = figure.subplots()
    axes.set_xlabel(axis_names[0])
    axes.set_ylabel(axis_names[1])
    axes.grid(True)
    headline(figure, title, about)
    return figure, axes


def _safe(legend: Any) -> None:
    for text in legend.get_texts():
        text.set_parse_math(False)
