"""What all plots share: their style, their size, and how they are written. matplotlib is imported inside the functions.

Imports no torch.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trainctl.errors import StorageError
from trainctl.fileformat.boundary import reading
from trainctl.report import canvas, table
from trainctl.store import files as storage
from trainctl.store.runpath import AnyPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150  # pixels per inch
LONGEST_NAME = 22  # most characters of a class name that are shown
LONGEST_ROW = 72  # most characters of what a row is called beside its bar
LONGEST_LABEL = 30  # most characters of the name of a column, with its value
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


def headline(drawn: "Figure", title: str) -> None:
    """Write the title of a whole figure; no part of it is read as a formula."""
    drawn.suptitle(title, weight="bold", parse_math=False)


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
    """Write a figure as PNG; create its directory if necessary."""
    content = io.BytesIO()
    with reading(str(path), StorageError, "cannot be drawn"):
        drawn.savefig(content, format="png", dpi=DPI)
    storage.ensure_directory(path.parent)
    storage.write_bytes(path, content.getvalue())
    return path
