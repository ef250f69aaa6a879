"""Draw the rows in which a run is wrong. matplotlib is imported inside the functions."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainctl.report.canvas import figure as _canvas
from trainctl.report.figure import cut, headline, legend, names_at_bars, style, write
from trainctl.store.runpath import AnyPath

if TYPE_CHECKING:
    pass

RIGHT, WRONG = "#55a868", "#c44e52"


def pictures(
    images: Sequence[np.ndarray],
    captions: Sequence[tuple[str, str]],
    title: str,
    path: AnyPath,
    beside: Sequence[np.ndarray] | None = None,
    about: str = "",
) -> AnyPath:
    """Draw images with two lines above each; with another image next to each, if there is one.

    Raises:
        StorageError: If the file cannot be written.
    """
    each = 2 if beside else 1
    across = min(4 if beside else 6, max(1, len(images)))
    lines = max(1, math.ceil(len(images) / across))
    with style():
        figure = _canvas(max(4.0, 1.75 * across * each + 0.3), 2.3 * lines + 0.6)
        panels = figure.subplots(lines, across * each, squeeze=False).reshape(-1, each)
        for axes in panels.flat:
            axes.set_axis_off()
        for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
            for axes, shown in zip(panels[place], [image, *(beside[place : place + 1] if beside else [])], strict=True):
                axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            text = "\n".join(cut(line, 24) for line in caption)
            panels[place][0].set_title(text, fontsize=8.5, fontweight="normal", loc="left", pad=4, parse_math=False)
            if beside:
                panels[place][1].set_title("reconstruction", fontsize=8.5, fontweight="normal", loc="left", pad=4)
        headline(figure, title, about)
        return write(figure, path)


def mistaken_classes(
    rows: Sequence[tuple[str, str, str, float, float]], title: str, path: AnyPath, about: str = ""
) -> AnyPath:
    """Draw for each row the probabilities of its true and of the predicted class.

    Args:
        rows: What identifies a row, true class, predicted class, and the probabilities of both.
        title: Of the picture.
        path: The PNG file.
        about: Run, data and split, for the line below the title.

    Raises:
        StorageError: If the file cannot be written.
    """
    with style():
        figure = _canvas(8.5, 1.7 + 0.42 * max(1, len(rows)))
        axes = figure.subplots()
        for place, (_, true, predicted, of_true, confidence) in enumerate(rows):
            if true != predicted:
                axes.barh(place - 0.19, confidence, height=0.36, color=WRONG, label="predicted class")
                axes.text(
                    confidence + 0.01, place - 0.19, cut(predicted, 24), va="center", fontsize=8, parse_math=False
                )
            shift = 0.19 if true != predicted else 0.0
            axes.barh(place + shift, of_true, height=0.36, color=RIGHT, label="true class")
            axes.text(of_true + 0.01, place + shift, cut(true, 24), va="center", fontsize=8, parse_math=False)
        names_at_bars(axes, [cut(row[0], 72) for row in rows])
        axes.set_xlim(0, 1.25)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("probability", fontsize=9)
        headline(figure, title, about)
        legend(figure, [axes])
        return write(figure, path)


def mistaken_numbers(rows: Sequence[tuple[str, float, float]], title: str, path: AnyPath, about: str = "") -> AnyPath:
    """Draw for each row its true and its predicted number, joined by a line.

    Raises:
        StorageError: If the file cannot be written.
    """
    with style():
        figure = _canvas(7.5, 1.7 + 0.3 * max(1, len(rows)))
        axes = figure.subplots()
        for place, (_, true, predicted) in enumerate(rows):
            axes.plot([true, predicted], [place, place], color="#bbbbbb", linewidth=2, zorder=1)
            axes.plot([true], [place], "o", color=RIGHT, markersize=6, label="true")
            axes.plot([predicted], [place], "o", color=WRONG, markersize=6, label="predicted")
        names_at_bars(axes, [row[0] for row in rows])
        axes.set_xlabel("target, in its unit", fontsize=9)
        headline(figure, title, about)
        legend(figure, [axes])
        return write(figure, path)


def errors(
    names: Sequence[str], values: Sequence[float], label: str, title: str, path: AnyPath, about: str = ""
) -> AnyPath:
    """Draw an error for each row as a bar.

    Raises:
        StorageError: If the file cannot be written.
    """
    with style():
        figure = _canvas(7.0, 1.4 + 0.3 * max(1, len(names)))
        axes = figure.subplots()
        axes.barh(range(len(names)), values, height=0.7, color=WRONG)
        names_at_bars(axes, names)
        axes.set_xlabel(label, fontsize=9, parse_math=False)
        headline(figure, title, about)
        return write(figure, path)
