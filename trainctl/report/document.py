"""What a page consists of, as plain data: gathered by `finished` and `sweep`, written by `report/html`. Imports no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from trainctl.report.chart import Chart

Weight = Literal["plain", "note", "warning", "strong"]


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str
    weight: Weight = "plain"


@dataclass(frozen=True)
class Cards:
    """A few numbers that are read first.

    Args:
        items: Of each what it is, the number, and a line below it.
    """

    items: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Facts:
    """Labels, and a text for each."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        headers: One for each column.
        rows: Cells.
        right: The numbers of the columns that are aligned to the right.
        caption: A line above it.
        strong: The numbers of the rows that are written bold.
        folded: Whether it is shown only when it is opened.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()
    caption: str = ""
    strong: frozenset[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix.

    Args:
        names: Of the classes.
        counts: A row for each true class, a column for each predicted class.
        caption: A line above it.
    """

    names: Sequence[str]
    counts: Sequence[Sequence[int]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """An image with lines below it.

    Args:
        image: ``(H, W)`` or ``(H, W, 3)`` in 0..1.
        lines: The lines below it.
        other: Another image to compare it with; None for none.
    """

    image: np.ndarray
    lines: Sequence[str]
    other: np.ndarray | None = None


@dataclass(frozen=True)
class Gallery:
    """Images side by side."""

    pictures: Sequence[Picture]
    caption: str = ""


@dataclass(frozen=True)
class Drawing:
    """A picture that is drawn already.

    Args:
        png: The content of a PNG file.
        text: What it shows, for who cannot see it.
    """

    png: bytes
    text: str


@dataclass(frozen=True)
class Commands:
    """Commands to paste, each below what it does."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """Lines of a file, shown when it is opened.

    Args:
        title: What they are.
        text: The lines.
    """

    title: str
    text: str


@dataclass(frozen=True)
class Tree:
    """Lines that are indented by their depth, from 0."""

    lines: Sequence[tuple[int, str]]


@dataclass(frozen=True)
class Charts:
    """Charts side by side."""

    charts: Sequence[Chart]


Block = Prose | Cards | Facts | Table | Matrix | Gallery | Drawing | Commands | Code | Tree | Charts


@dataclass
class Section:
    """A part of a page, with a title.

    Args:
        title: Of the section.
        blocks: What it consists of.
    """

    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called in a link."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass
class Document:
    """A page.

    Args:
        kind: What it is about: a run, a sweep, several runs.
        title: The name of that.
        lead: The line below the title.
        top: What comes before the first section.
        sections: The sections; those without a block are left out.
        made_by: What has written it, and when, at the end of the page.
    """

    kind: str
    title: str
    lead: str
    top: list[Block] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    made_by: str = ""

    @property
    def filled(self) -> list[Section]:
        """The sections that have a block."""
        return [section for section in self.sections if section.blocks]

    @property
    def charts(self) -> list[Chart]:
        """All charts of the page."""
        blocks = [*self.top, *(block for section in self.sections for block in section.blocks)]
        return [chart for block in blocks if isinstance(block, Charts) for chart in block.charts]
