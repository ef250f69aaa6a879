"""Write the blocks of a document as elements. Imports no torch."""

import base64
import io
from functools import singledispatch

import numpy as np

from trainctl.report import document
from trainctl.report.figure import DPI
from trainctl.report.html import drawing
from trainctl.report.html.element import PNG, Element, element, lines

LARGEST = 320  # pixels of a side of an image in a page
COUNTED = 20  # most classes of a confusion matrix whose counts are written
DARK = 0.6  # opacity from which white is easier to read
CSS_DPI = 96  # pixels per inch of a page
CELL = 34.0  # of a confusion matrix [units of its drawing]


@singledispatch
def block(each: document.Block) -> Element:
    """Return a block as an element."""
    raise AssertionError(type(each))


@block.register
def _(each: document.Prose) -> Element:
    return element("p", each.text, class_=each.weight)


@block.register
def _(each: document.Cards) -> Element:
    cards = [
        element("dl", element("dt", what), element("dd", number), element("dd", element("small", below)), class_="card")
        for what, number, below in each.items
    ]
    return element("div", *cards, class_="cards")


@block.register
def _(each: document.Facts) -> Element:
    found = [part for label, value in each.items for part in (element("dt", label), element("dd", value))]
    return element("dl", *found, class_="facts")


@block.register
def _(each: document.Table) -> Element:
    def cells(tag: str, row: object) -> list[Element]:
        assert isinstance(row, list | tuple)
        return [
            element(tag, str(cell), class_="right" if place in each.right else None) for place, cell in enumerate(row)
        ]

    head = element("thead", element("tr", *cells("th", list(each.headers))))
    rows = [
        element("tr", *cells("td", list(row)), class_="best" if number in each.strong else None)
        for number, row in enumerate(each.rows)
    ]
    whole = element("div", element("table", head, element("tbody", *rows)), class_="scroll")
    if each.folded:
        return element("details", element("summary", each.caption), whole)
    return element("div", element("p", each.caption, class_="caption"), whole) if each.caption else whole


@block.register
def _(each: document.Charts) -> Element:
    return element("div", *map(drawing.figure, each.charts), class_="charts")


@block.register
def _(each: document.Commands) -> Element:
    found = [
        part
        for what, command in each.items
        for part in (element("p", what, class_="note"), element("pre", *lines(command)))
    ]
    return element("div", *found, class_="commands")


@block.register
def _(each: document.Code) -> Element:
    return element("details", element("summary", each.title), element("pre", *lines(each.text)))


@block.register
def _(each: document.Tree) -> Element:
    return element(
        "ul", *(element("li", line, class_=f"d{min(depth, 4)}") for depth, line in each.lines), class_="tree"
    )


@block.register
def _(each: document.Drawing) -> Element:
    from PIL import Image

    encoded = base64.b64encode(each.png).decode()
    with Image.open(io.BytesIO(each.png)) as image:
        width = round(image.width * CSS_DPI / DPI)  # so that all drawings have text of one size
    return element("figure", element("img", src=f"{PNG}{encoded}", alt=each.text, width=width), class_="drawing")


@block.register
def _(each: document.Gallery) -> Element:
    pairs = any(one.other is not None for one in each.pictures)
    figures = [_picture(one) for one in each.pictures]
    caption = element("p", each.caption, class_="note") if each.caption else None
    return element("div", caption, element("div", *figures, class_="gallery pairs" if pairs else "gallery"))


def _picture(one: document.Picture) -> Element:
    said = ", ".join(one.lines)
    images = [element("img", src=_png(one.image), alt=said)]
    if one.other is not None:
        images.append(element("img", src=_png(one.other), alt=f"reconstruction of: {said}"))
    shown = element("div", *images, class_="two") if one.other is not None else images[0]
    return element("figure", shown, element("figcaption", *(element("p", line) for line in one.lines)))


def _png(image: np.ndarray) -> str:
    """Return an image ``(H, W)`` or ``(H, W, 3)`` in 0..1 as a PNG in an address; large ones are made smaller."""
    from PIL import Image

    pixels = Image.fromarray((np.clip(np.nan_to_num(image), 0, 1) * 255).round().astype(np.uint8))
    if max(pixels.size) > LARGEST:
        pixels.thumbnail((LARGEST, LARGEST))
    content = io.BytesIO()
    pixels.save(content, format="PNG", optimize=True)
    return f"{PNG}{base64.b64encode(content.getvalue()).decode()}"


@block.register
def _(each: document.Matrix) -> Element:
    """Draw a cell for each pair of classes, the more opaque the larger its share of the true class."""
    count = len(each.names)
    margin = 26 + 6.2 * max((len(_short(name)) for name in each.names), default=1)
    cell = CELL if count <= COUNTED else max(4.0, 560.0 / count)
    side = cell * count
    named = max(1, -(-count // 40))
    cells = [part for row in range(count) for part in _row(each, row, cell, margin)]
    names = []
    for place in range(0, count, named):
        middle = margin + cell * (place + 0.5)
        short = _short(each.names[place])
        names.append(element("text", short, x=margin - 6, y=middle + 3.5, text_anchor="end", class_="name"))
        turned = f"rotate(-40 {middle:g} {margin - 6:g})"
        names.append(element("text", short, x=middle, y=margin - 6, transform=turned, class_="name"))
    middle = margin + side / 2
    frame = element("rect", x=margin, y=margin, width=side, height=side, class_="frame")
    drawn = element(
        "svg", *cells, frame, *names, element("text", "predicted class", x=margin, y=12, class_="label"),
        element(
            "text", "true class", x=12, y=middle, text_anchor="middle", transform=f"rotate(-90 12 {middle:g})",
            class_="label",
        ),
        viewBox=f"0 0 {margin + side + 60:g} {margin + side + 4:g}", width=margin + side + 60, role="img",
        aria_label=each.caption or "confusion matrix",
    )  # fmt: skip
    caption = element("figcaption", element("small", each.caption)) if each.caption else None
    return element("figure", caption, drawn, class_="matrix")


def _row(each: document.Matrix, row: int, cell: float, margin: float) -> list[Element]:
    counts, found = each.counts[row], []
    total = sum(counts)
    for column, number in enumerate(counts):
        if not number and (row != column or len(each.names) > COUNTED):
            continue
        share = number / total if total else 0.0
        x, y = margin + cell * column, margin + cell * row
        title = f"true {each.names[row]}, predicted {each.names[column]}: {number:,} of {total:,} ({share:.1%})"
        found.append(
            element(
                "rect",
                element("title", title),
                x=round(x, 1),
                y=round(y, 1),
                width=round(cell - 1, 1),
                height=round(cell - 1, 1),
                fill_opacity=round(share, 3),
            )
        )
        if len(each.names) <= COUNTED:
            style = "cell dark" if share > DARK else "cell"
            found.append(element("text", f"{number:,}", x=x + cell / 2, y=y + cell / 2 + 4, class_=style))
    return found


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= 14 else f"{name[:13]}…"
