"""Write a document as one HTML page that needs nothing else: no network, no other file. Imports no torch."""

from collections.abc import Iterator

from trainctl.report.document import Document, Section
from trainctl.report.html import blocks
from trainctl.report.html.element import Element, element, text, write
from trainctl.report.html.style import POLICY, SCRIPT, STYLE


def page(document: Document) -> bytes:
    """Return a page, in UTF-8."""
    return "".join(_parts(document)).encode("utf-8", "backslashreplace")


def _parts(document: Document) -> Iterator[str]:
    """Yield the parts of a page; the style and the script are the only ones that are not written by elements."""
    yield "<!DOCTYPE html>\n"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="referrer" content="no-referrer">'
    yield from write(element("title", f"{document.title} · {document.kind} · trainctl"))
    yield f"<style>{STYLE}</style></head><body>"
    for part in (_header(document), _contents(document), _main(document), _footer(document)):
        yield from write(part)
        yield "\n"
    yield f"<script>{SCRIPT}</script></body></html>\n"


def _header(document: Document) -> Element:
    return element(
        "header", element("p", document.kind, class_="kind"), element("h1", document.title),
        element("p", document.lead, class_="lead"),
    )  # fmt: skip


def _contents(document: Document) -> Element:
    links = [element("li", element("a", section.title, href=f"#{section.name}")) for section in document.filled]
    return element("nav", element("ol", *links), aria_label="contents")


def _main(document: Document) -> Element:
    sections = [_section(section) for section in document.filled]
    return element("main", *map(blocks.block, document.top), *sections)


def _section(section: Section) -> Element:
    return element("section", element("h2", section.title), *map(blocks.block, section.blocks), id=section.name)


def _footer(document: Document) -> Element:
    return element("footer", document.made_by)
