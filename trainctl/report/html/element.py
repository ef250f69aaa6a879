"""Write HTML from elements. Text is always escaped, and only what is listed here can be written.

There is no way to put markup into a text, an element that loads or runs something, an event handler, a style or an
address from elsewhere into a page: elements and attributes are those of two lists, links lead to places of the page itself,
and images are PNG files within it. What a page contains besides, its style and its script, are the constants of
:mod:`trainctl.report.html.style`. Imports no torch.
"""

import html
from collections.abc import Iterator
from dataclasses import dataclass

from trainctl.report import table

_TAGS = (
    "a b body caption code dd details div dl dt figcaption figure footer h1 h2 h3 header html li main nav ol p pre section"
    " small span strong summary table tbody td th thead time title tr ul head meta img"
    " svg g path line rect circle text polyline defs clipPath"
)
_ATTRIBUTES = (
    "class id lang charset name content title alt scope colspan datetime width height role"
    " viewBox x y x1 y1 x2 y2 cx cy r d points fill-opacity clip-path text-anchor dominant-baseline transform"
    " preserveAspectRatio data-hover data-near aria-label aria-hidden"
)
TAGS, ATTRIBUTES = frozenset(_TAGS.split()), frozenset(_ATTRIBUTES.split())
VOID = frozenset({"meta", "img"})
PNG = "data:image/png;base64,"


@dataclass(frozen=True)
class Element:
    """An element.

    Args:
        tag: One of ``TAGS``.
        attributes: Names among ``ATTRIBUTES``, ``href`` and ``src``, and their values.
        children: Elements and texts.
    """

    tag: str
    attributes: tuple[tuple[str, str], ...]
    children: tuple["Element | str", ...]

    def __post_init__(self) -> None:
        assert self.tag in TAGS, self.tag
        for name, value in self.attributes:
            if name == "href":
                assert value.startswith("#"), value
            elif name == "src":
                assert value.startswith(PNG), value
            else:
                assert name in ATTRIBUTES, name


def element(tag: str, *children: "Element | str | None", **attributes: str | float | None) -> Element:
    """Return an element; children and attributes that are None are left out.

    ``class_`` is the attribute ``class``, and an underscore in another name a hyphen.

    >>> "".join(write(element("p", "a < b", class_='"x"')))
    '<p class="&quot;x&quot;">a &lt; b</p>'
    """
    named = [(name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items() if value is not None]
    plain = tuple((name, value if isinstance(value, str) else f"{value:g}") for name, value in named)
    return Element(tag, plain, tuple(child for child in children if child is not None))


def text(value: str) -> str:
    r"""Return a text as HTML shows it: markup is escaped, and so are characters that control or turn the direction.

    >>> text("<b>&\x1b\u202e")
    '&lt;b&gt;&amp;\\x1b\\u202e'
    """
    return html.escape(table.printable(value), quote=True)


def write(node: "Element | str") -> Iterator[str]:
    """Yield the parts of the HTML of an element."""
    if isinstance(node, str):
        yield text(node)
        return
    attributes = "".join(f' {name}="{text(value)}"' for name, value in node.attributes)
    yield f"<{node.tag}{attributes}>"
    if node.tag in VOID:
        return
    for child in node.children:
        yield from write(child)
    yield f"</{node.tag}>"


def lines(value: str) -> list["Element | str"]:
    """Return the lines of a text, each in an element of its own, so that its line breaks are kept."""
    return [element("span", line or " ", class_="line") for line in value.split("\n")]
