"""What all PNG files of plots share: their style, their size, and how they are written. matplotlib is imported inside the functions.

Imports no torch.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trainctl.errors import StorageError
from trainctl.fileformat.boundary import reading
from trainctl.report import canvas, table
from trainctl.store import directories
from trainctl.store import files as storage
from trainctl.store.runpath import AnyPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150  # pixels per inch
LONGEST_NAME = 22  # most characters of a class name that are shown
LONGEST_ROW = 72  # most characters of what a row is called beside its bar
LONGEST_LABEL = 30  # most characters of the name of a column, with its value
BOLD, LIGHT = 0.64, 0.54  # mean widths of a character, in units of the size of the font
# set here so that the user's matplotlibrc has no effect: LaTeX would fail on a class named a_b
STYLE: Any = {
    "text.usetex": False, "text.parse_math": True, "font.family": ["DejaVu Sans"], "font.size": 10.0,
    "axes.titlesize": 12.0, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 10.0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#888888", "axes.axisbelow": True,
    "axes.facecolor": "white", "figure.facecolor": "white", "savefig.facecolor": "white", "text.color": "black",
    "grid.color": "#e4e4e4", "grid.linewidth": 0.8, "legend.frameon": False, "lines.linewidth": 1.8,
    "figure.constrained_layout.w_pad": 0.12, "figure.constrained_layout.h_pad": 0.12,
}  # fmt: skip


def short(name: str) -> str:
    """Return a class name without line breaks, shortened so that the matrix keeps its space."""
    return cut(name, LONGEST_NAME)


def cut(name: str, most: int = LONGEST_LABEL) -> str:
    """Return a name in one line, of at most so many characters."""
    name = " ".join(table.printable(" ".join(name.split())).split())
    return name if len(name) <= most else f"{name[: most - 1]}…"


def headline(drawn: "Figure", title: str, about: str = "") -> None:
    """Write the title of a whole figure, and below it run, data and split; nothing else reaches into their space.

    No part of them is read as a formula. What is too long is written smaller, then cut.
    """
    from matplotlib.text import Annotation

    room = 72 * drawn.get_figwidth() - 18.0  # points
    size = max(9.0, min(12.0, room / (BOLD * max(1, len(title)))))
    shown = cut(title, max(8, int(room / (BOLD * size))))
    text = f"{shown}\n " if about else shown  # the second line keeps the space of what it is about
    drawn.suptitle(text, x=0.012, ha="left", weight="bold", fontsize=size, parse_math=False)
    if about:
        small = max(6.5, min(8.5, room / (LIGHT * len(about))))
        line = Annotation(
            cut(about, max(8, int(room / (LIGHT * small)))), (0.012, 1.0), xycoords="figure fraction",
            xytext=(0, -9.0 - 1.25 * size), textcoords="offset points", ha="left", va="top", fontsize=small,
            color="#666666", parse_math=False, annotation_clip=False,
        )  # fmt: skip
        line.set_in_layout(False)
        drawn.add_artist(line)


def plain(label: str) -> str:
    """Return a label that a legend does not hide: it would leave out one that begins with an underscore."""
    return f"\u200b{label}" if label.startswith("_") else label


def legend_columns(width: float, labels: Sequence[str], most: int = 4) -> int:
    """Return in how many columns a legend fits into a figure of a width [inches]."""
    longest = max(map(len, labels), default=1)
    return max(1, min(most, len(labels), int(width * 11.5 / (longest + 6))))


def legend(drawn: "Figure", panels: Sequence["Axes"], columns: int = 4) -> None:
    """Draw one legend below a figure, in which each label appears once; it never meets the title."""
    once: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        for label, handle in zip(labels, handles, strict=True):
            once.setdefault(label, handle)
    if not once:
        return
    room = legend_columns(drawn.get_figwidth(), list(once), columns)
    written = drawn.legend(once.values(), once.keys(), loc="outside lower left", ncols=room, fontsize=9)
    for text in written.get_texts():
        text.set_parse_math(False)


def colour_bar(drawn: "Figure", image: Any, axes: Any, label: str) -> None:
    """Draw next to axes which number has which colour."""
    bar = drawn.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label(label, fontsize=9, parse_math=False)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)


def names_at_bars(axes: "Axes", names: Sequence[str]) -> None:
    """Write a name next to each bar of a horizontal chart, the first at the top; no name is read as a formula."""
    axes.set_yticks(range(len(names)), [cut(name, LONGEST_ROW) for name in names], fontsize=8.5, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)


def figure(width: float, height: float, columns: Sequence[float] = ()) -> tuple["Figure", Any]:
    """Return a figure of a size [inches] and its axes; several axes side by side if ``columns`` has their widths."""
    drawn = canvas.figure(width, height)
    if columns:
        return drawn, drawn.subplots(1, len(columns), width_ratios=columns)
    axes = drawn.subplots()
    axes.grid(True)
    return drawn, axes


@contextmanager
def style() -> Iterator[None]:
    """Draw in our style, whatever the user's matplotlibrc says; a character missing from the font becomes a box."""
    import warnings

    canvas.load()
    import matplotlib as mpl

    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def write(drawn: "Figure", path: AnyPath) -> AnyPath:
    """Write a figure as PNG; create its directory if necessary.

    ``Figure.savefig`` would draw it twice: once to find the layout, and again for the file.
    """
    content = io.BytesIO()
    with reading(str(path), StorageError, "cannot be drawn"):
        drawn.set_dpi(DPI)
        drawn.canvas.print_png(content)  # type: ignore[attr-defined]  # of the canvas that canvas.figure has chosen
    directories.ensure_directory(path.parent)
    storage.write_bytes(path, content.getvalue())
    return path
